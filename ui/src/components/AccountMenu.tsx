import Divider from "@mui/material/Divider";
import ListItemIcon from "@mui/material/ListItemIcon";
import Menu from "@mui/material/Menu";
import MenuItem from "@mui/material/MenuItem";
import Typography from "@mui/material/Typography";
import { Keyboard, Settings } from "lucide-react";
import { Link } from "react-router";

import type { User } from "../api/types";
import { text } from "../text/en";
import { paths } from "../util/paths";

interface Props {
  user: User;
  anchor: HTMLElement;
  onKeys: () => void;
  onClose: () => void;
}

/** Fetched when it is opened: menus are a tenth of what a first visit would weigh. */
export default function AccountMenu({ user, anchor, onKeys, onClose }: Props) {
  return (
    <Menu anchorEl={anchor} open onClose={onClose} slotProps={{ list: { "aria-label": text.nav.account(user.username) } }} anchorOrigin={{ vertical: "bottom", horizontal: "right" }} transformOrigin={{ vertical: "top", horizontal: "right" }}>
      {/* An item that cannot be chosen: text beside the items of a menu is lost to screen readers. */}
      <MenuItem disabled sx={{ display: "block", maxWidth: 260, "&.Mui-disabled": { opacity: 1 } }}>
        <Typography noWrap sx={{ fontWeight: 600 }}>
          {user.username}
        </Typography>
        <Typography variant="caption" component="p" sx={{ color: "text.secondary" }}>
          {user.is_admin ? text.settings.admin : text.settings.member}
        </Typography>
      </MenuItem>
      <Divider component="li" role="presentation" sx={{ mb: 1 }} />
      <MenuItem component={Link} to={paths.settings()} onClick={onClose}>
        <ListItemIcon>
          <Settings size={17} aria-hidden />
        </ListItemIcon>
        {text.nav.settings}
      </MenuItem>
      <MenuItem
        onClick={() => {
          onClose();
          onKeys();
        }}
      >
        <ListItemIcon>
          <Keyboard size={17} aria-hidden />
        </ListItemIcon>
        {text.nav.shortcuts}
      </MenuItem>
    </Menu>
  );
}
