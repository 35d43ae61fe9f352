/** Where files are dropped, and how far those on their way are. */
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import IconButton from "@mui/material/IconButton";
import Typography from "@mui/material/Typography";
import { type QueryClient, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { CircleCheck, TriangleAlert, X } from "lucide-react";
import { useEffect, useRef, useState } from "react";

import { api, ask } from "../../api/client";
import { fromThrown } from "../../api/errors";
import { fileQueries, makeFolder } from "../../api/files";
import { keys } from "../../api/queries";
import type { UnfinishedUpload } from "../../api/types";
import { type Upload, uploads, useUploads } from "../../api/uploads";
import { ActionButton } from "../../components/ActionButton";
import { ProgressBar } from "../../components/ProgressBar";
import { toast } from "../../components/toasts";
import { filesText as text } from "../../text/enFiles";
import { dropped } from "../../util/dropped";
import { join, nameOf } from "../../util/files";
import { eachInTurn } from "./eachInTurn";

const MOST = 100;

export default function UploadPanel({ folder }: { folder: string }) {
  return (
    <>
      <DropZone folder={folder} />
      <UploadList />
    </>
  );
}

/** Every file on its way up, those of earlier visits included. Other pages show it, too. */
export function UploadList() {
  const all = useUploads();
  const begun = useQuery(fileQueries.uploads()).data ?? [];
  // Of very many only the next ones: what is done is counted above.
  const shown = all.length > MOST ? all.filter((upload) => upload.state !== "done").slice(0, MOST) : all;
  const left = begun.filter((known) => !all.some((upload) => upload.path === known.path));
  if (all.length === 0 && left.length === 0) return null;
  return (
    <Card component="section" aria-label={text.upload.title} sx={{ mb: 2 }}>
      <Box sx={{ display: "flex", alignItems: "center", gap: 1, px: 2, minHeight: 48 }}>
        <Typography component="h2" variant="h3" sx={{ flex: 1 }}>
          <span role="status">{headline(all)}</span>
        </Typography>
        {all.some((upload) => upload.state === "done") && <Button onClick={() => uploads.clearDone()}>{text.upload.clear}</Button>}
      </Box>
      <Box component="ul" sx={{ listStyle: "none", m: 0, p: 0, maxHeight: 320, overflowY: "auto" }} tabIndex={-1}>
        {shown.map((upload) => (
          <Line key={upload.id} upload={upload} />
        ))}
        {shown.length < all.length && (
          <Typography component="li" variant="caption" sx={{ display: "block", px: 2, py: 1, borderTop: 1, borderColor: "divider", color: "text.secondary" }}>
            {text.upload.others(all.length - shown.length)}
          </Typography>
        )}
        {left.map((known) => (
          <Unfinished key={known.upload_id} known={known} />
        ))}
      </Box>
    </Card>
  );
}

function headline(all: Upload[]): string {
  const count = (...states: Upload["state"][]) => all.filter((upload) => states.includes(upload.state)).length;
  const running = count("waiting", "sending");
  if (running > 0) return text.upload.running(all.length - running + 1, all.length);
  const stopped = count("failed", "taken");
  if (stopped > 0) return text.upload.stopped(stopped);
  return all.length > 0 ? text.upload.finished(all.length) : text.upload.title;
}

const row = { display: "grid", gridTemplateColumns: "minmax(0, 1fr) auto", alignItems: "center", columnGap: 1.5, px: 2, py: 1, borderTop: 1, borderColor: "divider" } as const;

function Line({ upload }: { upload: Upload }) {
  const name = nameOf(upload.path);
  const running = upload.state === "waiting" || upload.state === "sending";
  const halted = upload.state === "failed" || upload.state === "taken";
  return (
    <Box component="li" data-upload-state={upload.state} sx={row}>
      <Box sx={{ minWidth: 0 }}>
        <Typography component="div" variant="body2" sx={{ fontWeight: 560, display: "flex", alignItems: "center", gap: 0.75 }}>
          {upload.state === "done" && <CircleCheck size={16} aria-hidden color="var(--mui-palette-success-main)" />}
          {halted && <TriangleAlert size={16} aria-hidden color="var(--mui-palette-error-main)" />}
          {upload.path}
        </Typography>
        {upload.state === "sending" && (
          <Box sx={{ my: 0.75 }}>
            <ProgressBar bar={{ kind: "determinate", value: upload.size ? (100 * upload.sent) / upload.size : 100 }} label={text.upload.progress(name)} height={6} />
          </Box>
        )}
        <Typography component="div" variant="caption" role={halted ? "alert" : undefined} sx={{ color: halted ? "error.main" : "text.secondary" }}>
          {upload.error ?? (upload.state === "waiting" ? text.upload.waiting : upload.state === "done" ? text.upload.done(upload.size) : text.upload.sent(upload.sent, upload.size))}
        </Typography>
      </Box>
      <Box sx={{ display: "flex", alignItems: "center", gap: 0.5 }}>
        {upload.state === "taken" && (
          <ActionButton size="small" color="error" aria-label={text.upload.replaceOne(name)} onClick={() => uploads.again(upload.id, true)}>
            {text.upload.replace}
          </ActionButton>
        )}
        {upload.state === "failed" && (
          <ActionButton size="small" aria-label={text.upload.againOne(name)} onClick={() => uploads.again(upload.id)}>
            {text.upload.again}
          </ActionButton>
        )}
        <IconButton aria-label={running ? text.upload.cancel(name) : text.upload.leave(name)} onClick={() => uploads.remove(upload.id)}>
          <X size={16} aria-hidden />
        </IconButton>
      </Box>
    </Box>
  );
}

/** Begun in another tab or before the page was left; the browser does not keep files, so somebody has to choose it again. */
function Unfinished({ known }: { known: UnfinishedUpload }) {
  const client = useQueryClient();
  const name = nameOf(known.path);
  const discard = useMutation({
    mutationFn: () => ask(api.DELETE("/api/files/uploads/{upload_id}", { params: { path: { upload_id: known.upload_id } } })),
    onError: (error) => toast(error.message, "error"),
    onSettled: () => {
      for (const queryKey of [keys.uploads, keys.space]) void client.invalidateQueries({ queryKey });
    },
  });
  return (
    <Box component="li" data-upload-state="unfinished" sx={row}>
      <Box sx={{ minWidth: 0 }}>
        <Typography component="div" variant="body2" sx={{ fontWeight: 560 }}>
          {known.path}
        </Typography>
        <Typography component="div" variant="caption" sx={{ color: "text.secondary" }}>
          {text.upload.unfinished(known.received_bytes, known.total_bytes)}
        </Typography>
      </Box>
      <ActionButton size="small" loading={discard.isPending} aria-label={text.upload.discardOne(name)} onClick={() => discard.mutate()}>
        {text.upload.discard}
      </ActionButton>
    </Box>
  );
}

function hasFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

/** Folders with nothing in them come as well. */
async function makeEmpty(folders: string[], client: QueryClient) {
  try {
    const { failures } = await eachInTurn(folders, (path) => makeFolder(path, true));
    if (failures[0]) toast(text.upload.emptyFolders(failures.length, failures[0].message), "error");
  } catch (thrown) {
    toast(text.upload.emptyFolders(1, fromThrown(thrown).message), "error");
  }
  void client.invalidateQueries({ queryKey: keys.files });
}

/** The whole page takes drops; it says so while something is held over it. */
function DropZone({ folder }: { folder: string }) {
  const [over, setOver] = useState(false);
  const client = useQueryClient();
  const target = useRef(folder);
  useEffect(() => {
    target.current = folder;
  });
  useEffect(() => {
    let depth = 0;
    const enter = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      depth += 1;
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      depth = Math.max(0, depth - 1);
      if (depth === 0) setOver(false);
    };
    const allow = (event: DragEvent) => {
      if (hasFiles(event)) event.preventDefault();
    };
    const drop = async (event: DragEvent) => {
      if (!hasFiles(event) || !event.dataTransfer) return;
      event.preventDefault();
      depth = 0;
      setOver(false);
      const into = target.current;
      try {
        const found = await dropped(event.dataTransfer);
        uploads.add(
          found.flatMap(({ file, path }) => (file ? [{ file, path: join(into, path) }] : [])),
          into,
        );
        const empty = found.filter(({ file }) => file === null).map(({ path }) => join(into, path));
        if (empty.length > 0) await makeEmpty(empty, client);
      } catch {
        toast(text.upload.unreadable, "error");
      }
    };
    const onDrop = (event: DragEvent) => void drop(event);
    window.addEventListener("dragenter", enter);
    window.addEventListener("dragleave", leave);
    window.addEventListener("dragover", allow);
    window.addEventListener("drop", onDrop);
    return () => {
      window.removeEventListener("dragenter", enter);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("dragover", allow);
      window.removeEventListener("drop", onDrop);
    };
  }, [client]);
  if (!over) return null;
  return (
    <Box
      data-drop=""
      sx={{
        position: "fixed",
        inset: 0,
        zIndex: "modal",
        display: "grid",
        placeItems: "center",
        pointerEvents: "none",
        border: "3px dashed",
        borderColor: "primary.main",
        backgroundColor: "color-mix(in srgb, var(--mui-palette-background-default) 82%, transparent)",
      }}
    >
      <Typography variant="h2" component="p" sx={{ px: 3, py: 2, borderRadius: "12px", backgroundColor: "primary.main", color: "primary.contrastText" }}>
        {text.upload.drop(folder || text.top.workspace)}
      </Typography>
    </Box>
  );
}
