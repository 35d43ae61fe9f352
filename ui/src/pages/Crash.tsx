import Box from "@mui/material/Box";
import { Component, type ReactNode } from "react";
import { useLocation } from "react-router";

import { text } from "../text/en";

/** A chunk that is gone after an update, or a bug of ours: say so instead of a white page. Part of the entry, so it needs little. */
function Crash() {
  return (
    <Box component="main" sx={{ p: 3, maxWidth: 640, mx: "auto", mt: 6 }}>
      <Box component="h1" sx={{ fontSize: "1.5rem" }}>
        {text.error.crashTitle}
      </Box>
      <p>{text.error.crashText}</p>
      <button type="button" onClick={() => window.location.reload()}>
        {text.action.reload}
      </button>
    </Box>
  );
}

interface Props {
  address: string;
  children: ReactNode;
}

interface State {
  crashed: boolean;
  address: string;
}

class Catch extends Component<Props, State> {
  override state: State = { crashed: false, address: this.props.address };

  static getDerivedStateFromError() {
    return { crashed: true };
  }

  static getDerivedStateFromProps({ address }: Props, state: State) {
    return address === state.address ? null : { crashed: false, address };
  }

  override render() {
    return this.state.crashed ? <Crash /> : this.props.children;
  }
}

/** Shows the crash in place of what is in it, until the address changes. */
export function CrashGuard({ children }: { children: ReactNode }) {
  return <Catch address={useLocation().key}>{children}</Catch>;
}
