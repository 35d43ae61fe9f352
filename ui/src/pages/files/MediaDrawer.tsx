/** What a film or a sound file is, with a picture of any moment of it. */
import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Drawer from "@mui/material/Drawer";
import IconButton from "@mui/material/IconButton";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { X } from "lucide-react";
import { type ReactNode, useState } from "react";

import { fileQueries, type RootName, whyNot } from "../../api/files";
import type { FileEntry, MediaInfo } from "../../api/types";
import { CopyText } from "../../components/CopyText";
import { ErrorPanel, SkeletonRows } from "../../components/states";
import { text as common } from "../../text/en";
import { filesText as text } from "../../text/enFiles";
import { downloads } from "../../util/paths";
import { timecode } from "../../util/time";
import { useDebounced } from "../../util/useDebounced";
import { chapters, streams, summary } from "./mediaFacts";

const FIRST_PICTURE_S = 5;
const PAUSE_MS = 300;

interface Props {
  entry: FileEntry;
  root: RootName;
  onClose: () => void;
}

export default function MediaDrawer({ entry, root, onClose }: Props) {
  const info = useQuery(fileQueries.media(root, entry.path));
  return (
    <Drawer
      open
      anchor="right"
      onClose={onClose}
      slotProps={{ paper: { role: "dialog", "aria-modal": true, "aria-labelledby": "media-title", sx: { width: { xs: "100%", sm: 520 }, display: "flex", flexDirection: "column" } } }}
    >
      <Box sx={{ display: "flex", alignItems: "flex-start", gap: 1, p: 3, pb: 1.5 }}>
        <Typography component="h2" variant="h1" id="media-title" sx={{ flex: 1, minWidth: 0 }}>
          {text.info.title(entry.name)}
        </Typography>
        <IconButton aria-label={common.action.close} onClick={onClose} sx={{ mt: -0.5, mr: -1 }}>
          <X size={20} aria-hidden />
        </IconButton>
      </Box>
      <Box sx={{ flex: 1, overflowY: "auto", px: 3, pb: 3, display: "grid", gap: 2.5, alignContent: "start" }} tabIndex={0} role="group" aria-labelledby="media-title">
        {info.error && <ErrorPanel error={info.error} onRetry={() => void info.refetch()} />}
        {info.isPending && <SkeletonRows rows={8} height={36} />}
        {info.data && <About info={info.data} entry={entry} root={root} />}
      </Box>
    </Drawer>
  );
}

function About({ info, entry, root }: { info: MediaInfo; entry: FileEntry; root: RootName }) {
  const warnings = [...(info.warnings ?? []), ...(info.quality?.warnings ?? [])];
  const tags = Object.entries(info.metadata ?? {});
  const film = info.video_streams?.some((stream) => !stream.attached_picture);
  return (
    <>
      {film && <Scrubber path={entry.path} root={root} seconds={info.duration_seconds ?? 0} />}
      {warnings.length > 0 && <Alert severity="warning">{warnings.join(" ")}</Alert>}
      <Facts rows={summary(info)} />
      <Part title={text.info.streams} lines={streams(info)} />
      <Part title={text.info.chapters} lines={chapters(info)} />
      {tags.length > 0 && (
        <section>
          <Heading>{text.info.tags}</Heading>
          <Facts rows={tags} />
        </section>
      )}
    </>
  );
}

function Heading({ children }: { children: ReactNode }) {
  return (
    <Typography component="h3" variant="h3" sx={{ mb: 1 }}>
      {children}
    </Typography>
  );
}

function Facts({ rows }: { rows: [string, string | null | undefined][] }) {
  return (
    <Box component="dl" sx={{ m: 0, display: "grid", gridTemplateColumns: "minmax(90px, auto) minmax(0, 1fr)", columnGap: 2.5, rowGap: 0.75, fontSize: "0.875rem" }}>
      {rows
        .filter(([, value]) => value)
        .map(([label, value]) => (
          <Box key={label} sx={{ display: "contents" }}>
            <Box component="dt" sx={{ color: "text.secondary" }}>
              {label}
            </Box>
            <Box component="dd" sx={{ m: 0, fontWeight: 560 }}>
              {value}
            </Box>
          </Box>
        ))}
    </Box>
  );
}

function Part({ title, lines }: { title: string; lines: string[] }) {
  if (lines.length === 0) return null;
  return (
    <section>
      <Heading>{title}</Heading>
      <Box component="ul" sx={{ listStyle: "none", m: 0, p: 0, display: "grid", gap: 0.5, fontSize: "0.875rem" }}>
        {lines.map((line) => (
          <li key={line}>{line}</li>
        ))}
      </Box>
    </section>
  );
}

/** A slider through the film; the picture follows when the hand rests. Below it all of the film at once, for who asks. */
function Scrubber({ path, root, seconds }: { path: string; root: RootName; seconds: number }) {
  const last = Math.max(0, Math.floor(seconds) - 1);
  const [at, setAt] = useState(Math.min(FIRST_PICTURE_S, last));
  const [sheet, setSheet] = useState(false);
  const shown = useDebounced(timecode(at), PAUSE_MS);
  return (
    <Box>
      <Picture src={downloads.thumbnail(root, path, shown)} alt={text.info.picture(shown)} />
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", columnGap: 1.5, mt: 1 }}>
        {last > 0 && (
          <Box
            component="input"
            type="range"
            min={0}
            max={last}
            step={1}
            value={at}
            aria-label={text.info.scrub}
            aria-valuetext={timecode(at)}
            onChange={(event: { target: { value: string } }) => setAt(Number(event.target.value))}
            sx={{ flex: "1 1 180px", minWidth: 0, height: 44, accentColor: "var(--mui-palette-primary-main)" }}
          />
        )}
        <CopyText value={timecode(at)} what={text.info.time} />
        <Button aria-expanded={sheet} onClick={() => setSheet(!sheet)}>
          {text.info.sheet}
        </Button>
      </Box>
      {sheet && (
        <Box component="a" href={downloads.contactSheet(root, path)} target="_blank" rel="noreferrer" sx={{ display: "block", mt: 1 }}>
          <Picture src={downloads.contactSheet(root, path)} alt={text.info.sheetOf} />
        </Box>
      )}
    </Box>
  );
}

/** A picture in its place, or why there is none. */
function Picture({ src, alt }: { src: string; alt: string }) {
  const [fault, setFault] = useState<{ of: string; why: string } | null>(null);
  const [seen, setSeen] = useState(false);
  const explain = async () => setFault({ of: src, why: (await whyNot(src)) ?? text.info.noPicture });
  return (
    <Box sx={{ aspectRatio: "16 / 9", display: "grid", placeItems: "center", borderRadius: "10px", overflow: "hidden", backgroundColor: "background.raised" }}>
      {!seen && !fault && (
        <Typography variant="body2" sx={{ gridArea: "1 / 1", color: "text.secondary" }}>
          {text.info.coming}
        </Typography>
      )}
      {fault?.of !== src ? (
        <Box
          component="img"
          src={src}
          alt={alt}
          onLoad={() => setSeen(true)}
          onError={() => void explain()}
          sx={{ gridArea: "1 / 1", width: "100%", height: "100%", objectFit: "contain", opacity: seen ? 1 : 0 }}
        />
      ) : (
        <Typography variant="body2" role="status" sx={{ color: "text.secondary", p: 2 }}>
          {fault.why}
        </Typography>
      )}
    </Box>
  );
}
