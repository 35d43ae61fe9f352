/**
 * A look at a file without saving it. Nothing of it can act in this page: text is shown as text, pictures and drawings are images,
 * and the gateway sends a PDF in a sandbox of its own origin.
 */
import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Dialog from "@mui/material/Dialog";
import IconButton from "@mui/material/IconButton";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { ChevronLeft, ChevronRight, Clapperboard, Download, FileQuestionMark, X } from "lucide-react";
import { type KeyboardEvent, type ReactNode, useState } from "react";

import { whyNot } from "../../api/files";
import { previewQueries } from "../../api/preview";
import type { FileEntry } from "../../api/types";
import { EmptyState, ErrorPanel } from "../../components/states";
import { text as common } from "../../text/en";
import { filesText as text } from "../../text/enFiles";
import { lookText } from "../../text/enLook";
import { FOCUS_RING, MONO } from "../../theme/theme";
import { lookOf } from "../../util/files";
import { downloads } from "../../util/paths";
import { bytes } from "../../util/units";
import { decoded, drawingSource, kindOf, TEXT_BYTES } from "./previewOf";

const words = lookText.preview;

interface Props {
  entry: FileEntry;
  /** The files that can be gone through, in the order of the list. */
  files: FileEntry[];
  onShow: (entry: FileEntry) => void;
  onMedia: (entry: FileEntry) => void;
  onClose: () => void;
}

export default function Preview({ entry, files, onShow, onMedia, onClose }: Props) {
  const at = files.findIndex((file) => file.path === entry.path);
  const previous = files[at - 1];
  const next = at < 0 ? undefined : files[at + 1];
  const onKeyDown = (event: KeyboardEvent) => {
    // In a player and in a text these keys have a meaning of their own.
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || (event.target as Element).closest("video, audio, pre")) return;
    const to = event.key === "ArrowLeft" ? previous : event.key === "ArrowRight" ? next : undefined;
    if (to) onShow(to);
  };
  return (
    <Dialog open fullWidth maxWidth="lg" onClose={onClose} onKeyDown={onKeyDown} aria-labelledby="preview-title" slotProps={{ paper: { sx: { height: "calc(100% - 64px)", "@media (max-width: 599px)": { m: 0, width: "100%", maxWidth: "100%", height: "100%", maxHeight: "100%", borderRadius: 0 } } } }}>
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 0.5, px: 2, py: 1.25, borderBottom: 1, borderColor: "divider" }}>
        <Box sx={{ flex: "1 1 200px", minWidth: 0, maxHeight: "4.5em", overflowY: "auto" }}>
          <Typography component="h2" variant="h2" id="preview-title" aria-label={words.title(entry.name)}>
            {entry.name}
          </Typography>
          <Typography variant="caption" sx={{ color: "text.secondary" }}>
            {entry.size === null ? null : bytes(entry.size)}
          </Typography>
        </Box>
        <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 0.5 }}>
          <IconButton aria-label={words.previous} title={words.previous} disabled={!previous} onClick={() => previous && onShow(previous)}>
            <ChevronLeft size={20} aria-hidden />
          </IconButton>
          <IconButton aria-label={words.next} title={words.next} disabled={!next} onClick={() => next && onShow(next)}>
            <ChevronRight size={20} aria-hidden />
          </IconButton>
          {kindOf(entry) === "media" && (
            <IconButton aria-label={words.media} title={words.media} onClick={() => onMedia(entry)}>
              <Clapperboard size={18} aria-hidden />
            </IconButton>
          )}
          <Button component="a" href={downloads.file(entry.path)} download variant="contained" size="small" startIcon={<Download size={15} aria-hidden />} aria-label={text.downloadOne(entry.name)}>
            {text.download}
          </Button>
          <IconButton aria-label={common.action.close} onClick={onClose} autoFocus sx={{ "&:focus": FOCUS_RING }}>
            <X size={20} aria-hidden />
          </IconButton>
        </Box>
      </Box>
      <Box data-preview={kindOf(entry)} sx={{ flex: 1, minHeight: 0, display: "grid", backgroundColor: "background.default" }}>
        <Content key={entry.path} entry={entry} />
      </Box>
    </Dialog>
  );
}

function Content({ entry }: { entry: FileEntry }) {
  switch (kindOf(entry)) {
    case "picture":
      return <Picture src={downloads.file(entry.path)} name={entry.name} />;
    case "drawing":
      return <Text entry={entry} drawing />;
    case "media":
      return <Player entry={entry} />;
    case "pdf":
      return <Pages entry={entry} />;
    case "text":
      return <Text entry={entry} />;
    case "large":
      return <Middle title={words.tooLarge}>{words.noneText}</Middle>;
  }
}

function Middle({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <Box sx={{ alignSelf: "center" }} role="status">
      <EmptyState icon={FileQuestionMark} title={title}>
        {children}
      </EmptyState>
    </Box>
  );
}

function Coming() {
  return (
    <Typography variant="body2" aria-busy="true" sx={{ placeSelf: "center", color: "text.secondary" }}>
      {words.coming}
    </Typography>
  );
}

interface PictureProps {
  src: string;
  name: string;
  /** What is said when it does not come. */
  broken?: string;
  /** What is said above it. */
  note?: string;
}

function Picture({ src, name, broken = words.broken, note }: PictureProps) {
  const [state, setState] = useState<"coming" | "seen" | "broken">("coming");
  const [why, setWhy] = useState<string | null>(null);
  const explain = async () => {
    setState("broken");
    setWhy(src.startsWith("data:") ? null : await whyNot(src));
  };
  if (state === "broken") return <Middle title={broken}>{why ?? words.noneText}</Middle>;
  return (
    <Noted note={state === "seen" ? note : undefined}>
      <Box sx={{ minHeight: 0, minWidth: 0, display: "grid", placeItems: "center", p: 2 }}>
        {state === "coming" && <Coming />}
        <Box
          component="img"
          src={src}
          alt={name}
          onLoad={() => setState("seen")}
          onError={() => void explain()}
          sx={{ gridArea: "1 / 1", maxWidth: "100%", maxHeight: "100%", objectFit: "contain", opacity: state === "seen" ? 1 : 0 }}
        />
      </Box>
    </Noted>
  );
}

/** Fills its place, with a remark above it. */
function Noted({ note, children }: { note: string | undefined; children: ReactNode }) {
  return (
    <Box sx={{ minHeight: 0, minWidth: 0, display: "grid", gridTemplateRows: "auto minmax(0, 1fr)" }}>
      <div>
        {note && (
          <Alert severity="info" role="status" sx={{ m: 2, mb: 0 }}>
            {note}
          </Alert>
        )}
      </div>
      {children}
    </Box>
  );
}

/** A film or a sound file; where the browser knows no way to play it, a picture from it. */
function Player({ entry }: { entry: FileEntry }) {
  const [failed, setFailed] = useState(false);
  const src = downloads.file(entry.path);
  const sound = lookOf(entry) === "audio";
  if (failed && sound) return <Middle title={words.unplayable}>{words.noneText}</Middle>;
  if (failed) return <Picture src={downloads.thumbnail("workspace", entry.path, "00:00:00")} name={entry.name} broken={words.unplayable} note={words.picture} />;
  const shared = { src, controls: true, preload: "metadata", "aria-label": words.play(entry.name), onError: () => setFailed(true) } as const;
  return (
    <Box sx={{ minHeight: 0, minWidth: 0, display: "grid", placeItems: "center", p: 2 }}>
      {/* oxlint-disable-next-line jsx-a11y/media-has-caption -- a person's own file; its captions are within it, if it has any */}
      {sound ? <Box component="audio" {...shared} sx={{ width: "min(100%, 520px)" }} /> : <Box component="video" {...shared} sx={{ maxWidth: "100%", maxHeight: "100%", minHeight: 0 }} />}
    </Box>
  );
}

/** The browser's own viewer shows it, in a frame without rights. */
function Pages({ entry }: { entry: FileEntry }) {
  const address = downloads.shown(entry.path);
  const there = useQuery(previewQueries.there(address));
  if (there.error) return <Failed error={there.error} onRetry={() => void there.refetch()} />;
  if (!there.data) return <Coming />;
  return <Box component="iframe" src={address} title={words.pdf(entry.name)} sx={{ border: 0, width: "100%", height: "100%" }} />;
}

function Text({ entry, drawing = false }: { entry: FileEntry; drawing?: boolean }) {
  const begin = useQuery({ ...previewQueries.begin(entry.path, drawing ? (entry.size ?? 0) : TEXT_BYTES), enabled: entry.size !== 0 });
  if (entry.size === 0) return <Middle title={words.empty} />;
  if (begin.error) return <Failed error={begin.error} onRetry={() => void begin.refetch()} />;
  if (!begin.data) return <Coming />;
  const cut = begin.data.total > begin.data.bytes.length;
  const shown = decoded(begin.data.bytes, cut);
  if (shown === null) return <Middle title={words.none}>{words.noneText}</Middle>;
  if (drawing) return <Picture src={drawingSource(shown)} name={entry.name} />;
  return (
    <Noted note={cut ? words.cut(begin.data.bytes.length) : undefined}>
      <Box component="pre" tabIndex={0} role="group" aria-label={words.content(entry.name)} sx={{ m: 0, p: 2, overflow: "auto", fontFamily: MONO, fontSize: "0.8125rem", lineHeight: 1.6, whiteSpace: "pre-wrap", tabSize: 4 }}>
        {shown}
      </Box>
    </Noted>
  );
}

function Failed({ error, onRetry }: { error: Error; onRetry: () => void }) {
  return (
    <Box sx={{ p: 2 }}>
      <ErrorPanel error={error} onRetry={onRetry} />
    </Box>
  );
}
