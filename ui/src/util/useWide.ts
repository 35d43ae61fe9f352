import useMediaQuery from "@mui/material/useMediaQuery";

/** True where a table fits beside the rail; below, lists are cards. */
export function useWide(): boolean {
  return useMediaQuery("(min-width:1100px)", { noSsr: true });
}
