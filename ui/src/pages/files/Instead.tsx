/** What stands in the place of the list where there is none: why it cannot be shown, or why it is empty. */
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import { FileQuestionMark, FolderOpen, Lock, SearchX } from "lucide-react";
import { Link } from "react-router";

import { ApiError } from "../../api/errors";
import type { FileQuery } from "../../api/files";
import { EmptyState, ErrorPanel } from "../../components/states";
import { text as common } from "../../text/en";
import { filesText as text } from "../../text/enFiles";
import { paths } from "../../util/paths";

interface Props {
  error: Error | null;
  asked: FileQuery;
  onRetry: () => void;
  onClear: () => void;
}

export default function Instead({ error, asked, onRetry, onClear }: Props) {
  if (error) return <Trouble error={error} onRetry={onRetry} root={asked.root} />;
  return (
    <Card>
      <Nothing asked={asked} onClear={onClear} />
    </Card>
  );
}

function Trouble({ error, onRetry, root }: { error: Error; onRetry: () => void; root: FileQuery["root"] }) {
  const status = error instanceof ApiError ? error.status : 0;
  const top = (
    <Button component={Link} to={paths.files({ root: root === "nas" && status !== 403 ? root : undefined })} variant="outlined">
      {text.toTop}
    </Button>
  );
  if (status !== 403 && status !== 404 && status !== 400) return <ErrorPanel error={error} onRetry={onRetry} />;
  return (
    <Card data-trouble={status}>
      <EmptyState icon={status === 403 ? Lock : FileQuestionMark} title={status === 403 ? text.deniedTitle : text.gone} action={top}>
        {error.message}
      </EmptyState>
    </Card>
  );
}

function Nothing({ asked, onClear }: { asked: FileQuery; onClear: () => void }) {
  if (asked.q) {
    return (
      <EmptyState icon={SearchX} title={text.noMatch} action={<Button onClick={onClear}>{common.action.clearSearch}</Button>}>
        {text.noMatchText}
      </EmptyState>
    );
  }
  if (asked.root === "nas") return <EmptyState icon={FolderOpen} title={text.emptyNas} />;
  return (
    <EmptyState icon={FolderOpen} title={asked.path ? text.emptyFolder : text.emptyTop}>
      {asked.path ? text.emptyFolderText : text.emptyTopText}
    </EmptyState>
  );
}
