import useMediaQuery from "@mui/material/useMediaQuery";

/** True where a table fits; below, lists are cards. */
export function useWide(): boolean {
  return useMediaQuery("(min-width:900px)", { noSsr: true });
}
