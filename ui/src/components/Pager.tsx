import Box from "@mui/material/Box";
import Pagination from "@mui/material/Pagination";
import Typography from "@mui/material/Typography";

import { text } from "../text/en";

interface Props {
  page: number;
  size: number;
  total: number;
  onPage: (page: number) => void;
}

export function Pager({ page, size, total, onPage }: Props) {
  if (total === 0) return null;
  const from = (page - 1) * size + 1;
  return (
    <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", justifyContent: "space-between", gap: 1, px: 2, py: 1 }}>
      <Typography variant="caption" sx={{ color: "text.secondary" }}>
        {text.folders.page(from, Math.min(total, from + size - 1), total)}
      </Typography>
      {total > size && (
        <Pagination
          count={Math.ceil(total / size)}
          page={page}
          onChange={(_, next) => onPage(next)}
          siblingCount={0}
          shape="rounded"
          aria-label={text.folders.pages}
        />
      )}
    </Box>
  );
}
