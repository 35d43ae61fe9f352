/** What a film or a sound file is, with a picture of any moment of it. */
import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Drawer from "@mui/material/Drawer";
import IconButton from "@mui/material/IconButton";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { X } from "lucide-react";
import { type ReactNode, useState } from "react";

import { fileQueries, type RootName } from "../../api/files";
import type { FileEntry, MediaInfo } from "../../api/types";
import { ErrorPanel, SkeletonRows } from "../../components/states";
import { text as common } from "../../text/en";
import { filesText as text } from "../../text/enFiles";
import { downloads } from "../../util/paths";
import { timecode } from "../../util/time";
import { useDebounced } from "../../util/useDebounced";

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
  const summary: [string, string | null | undefined][] = [
    [text.info.quality, info.quality?.label],
    [text.info.container, info.format],
    [text.info.length, info.duration],
    [text.info.size, info.size_human],
    [text.info.bitRate, info.bit_rate ? text.info.mbps(info.bit_rate) : null],
    [text.info.resolution, info.resolution],
    [text.info.video, info.video_codec],
    [text.info.audio, info.audio_codec],
    [text.info.channels, info.channels],
  ];
  return (
    <>
      {info.video_streams?.some((stream) => !stream.attached_picture) && <Scrubber path={entry.path} root={root} seconds={info.duration_seconds ?? 0} />}
      {warnings.length > 0 && <Alert severity="warning">{warnings.join(" ")}</Alert>}
      <Facts rows={summary} />
      <Part title={text.info.streams} lines={streams(info)} />
      <Part
        title={text.info.chapters}
        lines={(info.chapters ?? []).map((chapter) => [timecode(chapter.start_seconds), chapter.title].filter(Boolean).join("  "))}
      />
      {tags.length > 0 && (
        <section>
          <Heading>{text.info.tags}</Heading>
          <Facts rows={tags} />
        </section>
      )}
    </>
  );
}

function marks(stream: { language?: string | null; title?: string | null; default?: boolean; forced?: boolean }): (string | null | undefined | false)[] {
  return [stream.language, stream.title, stream.default && text.info.default, stream.forced && text.info.forced];
}

function lineOf(index: number, ...parts: (string | null | undefined | false)[]): string {
  return `${text.info.stream(index)}: ${parts.filter(Boolean).join(", ")}`;
}

/** One line for each stream. */
function streams(info: MediaInfo): string[] {
  return [
    ...(info.video_streams ?? []).map((one) =>
      lineOf(one.index, text.info.video, one.codec_label, one.profile, `${one.width}x${one.height}`, one.fps ? text.info.fps(one.fps) : null, one.hdr, one.bit_rate ? text.info.mbps(one.bit_rate) : null, ...marks(one)),
    ),
    ...(info.audio_streams ?? []).map((one) =>
      lineOf(one.index, text.info.audio, one.codec_label, one.channel_label, one.sample_rate ? text.info.hertz(one.sample_rate) : null, one.bit_rate ? text.info.kbps(one.bit_rate) : null, ...marks(one)),
    ),
    ...(info.subtitle_streams ?? []).map((one) => lineOf(one.index, text.info.subtitles, one.codec_label, ...marks(one))),
  ];
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

/** A slider through the film; the picture follows when the hand rests. */
function Scrubber({ path, root, seconds }: { path: string; root: RootName; seconds: number }) {
  const last = Math.max(0, Math.floor(seconds) - 1);
  const [at, setAt] = useState(Math.min(FIRST_PICTURE_S, last));
  const shown = useDebounced(timecode(at), PAUSE_MS);
  const [broken, setBroken] = useState<string | null>(null);
  return (
    <Box>
      <Box sx={{ aspectRatio: "16 / 9", display: "grid", placeItems: "center", borderRadius: "10px", overflow: "hidden", backgroundColor: "background.raised" }}>
        {broken === shown ? (
          <Typography variant="body2" sx={{ color: "text.secondary" }}>
            {text.info.noPicture}
          </Typography>
        ) : (
          <Box
            component="img"
            src={downloads.thumbnail(root, path, shown)}
            alt={text.info.picture(shown)}
            onError={() => setBroken(shown)}
            sx={{ width: "100%", height: "100%", objectFit: "contain" }}
          />
        )}
      </Box>
      {last > 0 && (
        <Box sx={{ display: "flex", alignItems: "center", gap: 1.5, mt: 1 }}>
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
            sx={{ flex: 1, height: 44, accentColor: "var(--mui-palette-primary-main)" }}
          />
          <Typography component="span" sx={{ fontVariantNumeric: "tabular-nums", fontWeight: 600 }}>
            {timecode(at)}
          </Typography>
        </Box>
      )}
    </Box>
  );
}
