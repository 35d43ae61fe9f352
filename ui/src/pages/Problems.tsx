import Button from "@mui/material/Button";
import { Compass, Lock } from "lucide-react";
import type { ReactNode } from "react";
import { Link } from "react-router";

import { PageHeader } from "../components/PageHeader";
import { EmptyState } from "../components/states";
import { text } from "../text/en";
import { paths } from "../util/paths";

function Problem({ title, icon, children, action }: { title: string; icon: typeof Lock; children: string; action: ReactNode }) {
  return (
    <>
      <PageHeader title={title} />
      <EmptyState icon={icon} title={children} action={action} />
    </>
  );
}

const home = (
  <Button component={Link} to={paths.folders()} variant="contained">
    {text.error.toFolders}
  </Button>
);

export function NotFound() {
  return (
    <Problem title={text.error.notFoundTitle} icon={Compass} action={home}>
      {text.error.notFoundText}
    </Problem>
  );
}

export function Denied() {
  return (
    <Problem title={text.error.deniedTitle} icon={Lock} action={home}>
      {text.error.deniedText}
    </Problem>
  );
}
