import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import ToggleButton from "@mui/material/ToggleButton";
import Typography from "@mui/material/Typography";
import { useVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown, CircleX, Download, Info, TriangleAlert, WrapText } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { Link as RouterLink, useLocation } from "react-router";

import type { JobLogLine } from "../../api/types";
import { Pick } from "../../components/Pick";
import { SearchField } from "../../components/SearchField";
import { ErrorPanel, SkeletonRows } from "../../components/states";
import { jobText } from "../../text/enJob";
import { MONO } from "../../theme/theme";
import { lineOf } from "../../util/paths";
import { clock, exactTime } from "../../util/time";
import { useLog } from "./useLog";

import "@fontsource-variable/jetbrains-mono/wght.css";

type Level = "" | JobLogLine["level"];
const LEVELS: readonly (readonly [Level, string])[] = [
  ["", jobText.log.all],
  ["INFO", jobText.log.INFO],
  ["WARNING", jobText.log.WARNING],
  ["ERROR", jobText.log.ERROR],
];
const LEVEL_LOOK = {
  INFO: { icon: Info, color: "text.secondary" },
  WARNING: { icon: TriangleAlert, color: "warning.main" },
  ERROR: { icon: CircleX, color: "error.main" },
} as const;
const ROW = 24;
const NEAR_END = 40;

export default function LogViewer({ jobId, folder }: { jobId: string; folder: string }) {
  const { log, older } = useLog(jobId);
  const [level, setLevel] = useState<Level>("");
  const [find, setFind] = useState("");
  const [wrap, setWrap] = useState(true);
  const all = log.data?.lines;
  const lines = useMemo(() => filtered(all ?? [], level, find), [all, level, find]);
  const target = lineOf(useLocation().hash);
  const missing = target !== null && all !== undefined && !all.some((line) => line.id === target);
  useEffect(() => {
    if (missing && older) older();
  }, [missing, older]);
  return (
    <Card component="section" aria-labelledby="log-title">
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 1.25, p: 2, borderBottom: 1, borderColor: "divider" }}>
        <Typography variant="h2" id="log-title" sx={{ mr: 1 }}>
          {jobText.log.title}
        </Typography>
        <SearchField label={jobText.log.search} value={find} onChange={setFind} delay={120} />
        <Pick label={jobText.log.level} value={level} options={LEVELS} onChange={setLevel} sx={{ minWidth: 130 }} />
        <Box sx={{ flex: 1 }} />
        <Typography variant="caption" sx={{ color: "text.secondary" }} aria-live="polite">
          {find ? jobText.log.matches(lines.length) : jobText.log.lines(lines.length, log.data?.total ?? 0)}
        </Typography>
        <ToggleButton value="wrap" size="small" selected={wrap} onChange={() => setWrap(!wrap)} aria-label={jobText.log.wrap} title={jobText.log.wrap} sx={{ minWidth: 36, minHeight: 36 }}>
          <WrapText size={16} aria-hidden />
        </ToggleButton>
        <Button component="a" href={`/api/jobs/${jobId}/logs?format=txt`} download={`${folder}.log.txt`} variant="outlined" startIcon={<Download size={16} aria-hidden />}>
          {jobText.log.download}
        </Button>
      </Box>
      {log.error && !log.data && (
        <Box sx={{ p: 2 }}>
          <ErrorPanel error={log.error} onRetry={() => log.refetch()} />
        </Box>
      )}
      {!log.error && !log.data && <SkeletonRows rows={6} height={28} />}
      {missing && !older && (
        <Typography variant="body2" role="status" sx={{ px: 2, pt: 1.5, color: "text.secondary" }}>
          {jobText.log.gone}
        </Typography>
      )}
      {log.data && <Lines lines={lines} wrap={wrap} find={find} target={target} filtered={Boolean(level || find)} older={log.data.total > log.data.lines.length ? older : null} />}
    </Card>
  );
}

function filtered(lines: JobLogLine[], level: Level, find: string): JobLogLine[] {
  const needle = find.trim().toLowerCase();
  if (!level && !needle) return lines;
  return lines.filter((line) => (!level || line.level === level) && (!needle || line.message.toLowerCase().includes(needle)));
}

interface LinesProps {
  lines: JobLogLine[];
  wrap: boolean;
  find: string;
  filtered: boolean;
  /** The line that the address points to. */
  target: number | null;
  older: (() => void) | null;
}

/** Follows the end until the reader scrolls up; a button leads back. Only what is in sight is in the document. */
function Lines({ lines, wrap, find, filtered: narrowed, target, older }: LinesProps) {
  const box = useRef<HTMLDivElement>(null);
  const [following, setFollowing] = useState(target === null);
  const [seen, setSeen] = useState(0);
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 20,
    getItemKey: (index) => lines[index]?.id ?? index,
  });
  const last = lines.at(-1)?.id ?? 0;
  useEffect(() => {
    if (following && lines.length > 0) virtual.scrollToIndex(lines.length - 1, { align: "end" });
  }, [following, last, lines.length, virtual]);
  const at = target === null ? -1 : lines.findIndex((line) => line.id === target);
  const shown = useRef<number | null>(null);
  useEffect(() => {
    if (at < 0 || shown.current === target) return; // once per address: afterwards the reader scrolls
    shown.current = target;
    setFollowing(false);
    virtual.scrollToIndex(at, { align: "center" });
    box.current?.scrollIntoView({ block: "center" });
  }, [at, target, virtual]);
  const onScroll = () => {
    const element = box.current;
    if (!element) return;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END;
    if (atEnd !== following) setFollowing(atEnd);
    if (atEnd || !following) setSeen((old) => (atEnd ? last : old || last));
  };
  const unseen = following ? 0 : lines.filter((line) => line.id > seen).length;
  if (lines.length === 0) {
    return <Typography sx={{ p: 3, color: "text.secondary" }}>{narrowed ? jobText.log.emptyFilter : jobText.log.empty}</Typography>;
  }
  return (
    <Box sx={{ position: "relative" }}>
      {older && (
        <Button size="small" onClick={older} sx={{ m: 1 }}>
          {jobText.log.older}
        </Button>
      )}
      <Box
        ref={box}
        role="log"
        aria-live="off"
        aria-label={jobText.log.region}
        tabIndex={0}
        onScroll={onScroll}
        style={{ height: `min(${virtual.getTotalSize() + 16}px, clamp(220px, 46vh, 560px))` }}
        sx={{ py: 1, overflow: "auto", fontFamily: MONO, fontSize: "0.8125rem", lineHeight: `${ROW}px`, "&:focus-visible": { outlineOffset: -2 } }}
      >
        <Box style={{ height: virtual.getTotalSize() }} sx={{ position: "relative", minWidth: wrap ? 0 : "max-content" }}>
          {virtual.getVirtualItems().map((item) => {
            const line = lines[item.index];
            return (
              line && (
                <Box
                  key={item.key}
                  ref={virtual.measureElement}
                  data-index={item.index}
                  style={{ transform: `translateY(${item.start}px)` }}
                  sx={{ position: "absolute", insetInlineStart: 0, top: 0, minWidth: "100%", width: wrap ? "100%" : "max-content" }}
                >
                  <Line line={line} wrap={wrap} find={find} marked={line.id === target} />
                </Box>
              )
            );
          })}
        </Box>
      </Box>
      {!following && (
        <Button
          variant="contained"
          size="small"
          startIcon={<ArrowDown size={15} aria-hidden />}
          onClick={() => {
            setFollowing(true);
            setSeen(last);
          }}
          sx={{ position: "absolute", bottom: 14, insetInlineEnd: 22, boxShadow: "0 4px 14px rgb(0 0 0 / 0.3)" }}
        >
          {unseen > 0 ? jobText.log.newLines(unseen) : jobText.log.follow}
        </Button>
      )}
    </Box>
  );
}

function Line({ line, wrap, find, marked }: { line: JobLogLine; wrap: boolean; find: string; marked: boolean }) {
  const { icon: Icon, color } = LEVEL_LOOK[line.level];
  return (
    <Box
      id={`line-${line.id}`}
      aria-current={marked ? "location" : undefined}
      sx={{
        display: "flex",
        gap: 1.25,
        px: 2,
        backgroundColor: marked ? "color-mix(in srgb, var(--mui-palette-primary-main) 14%, transparent)" : undefined,
        "&:hover": { backgroundColor: marked ? undefined : "action.hover" },
        color: line.level === "INFO" ? "text.primary" : color,
      }}
    >
      <Box
        component={RouterLink}
        to={`#line-${line.id}`}
        replace
        preventScrollReset
        title={exactTime(line.timestamp)}
        aria-label={jobText.log.link(clock(line.timestamp))}
        sx={{ color: "text.secondary", textDecoration: "none", flexShrink: 0, display: { xs: "none", sm: "inline" }, "&:hover": { textDecoration: "underline" } }}
      >
        <time dateTime={line.timestamp}>{clock(line.timestamp)}</time>
      </Box>
      <Box component="span" role="img" aria-label={line.level} title={line.level} sx={{ color, flexShrink: 0, display: "inline-flex", alignItems: "center", height: ROW }}>
        <Icon size={14} aria-hidden />
      </Box>
      <Box component="span" sx={{ whiteSpace: wrap ? "pre-wrap" : "pre", overflowWrap: wrap ? "anywhere" : "normal", minWidth: 0 }}>
        <Marked value={line.message} find={find.trim()} />
      </Box>
    </Box>
  );
}

function Marked({ value, find }: { value: string; find: string }) {
  if (!find) return value;
  const at = value.toLowerCase().indexOf(find.toLowerCase());
  if (at < 0) return value;
  return (
    <>
      {value.slice(0, at)}
      <Box component="mark" sx={{ backgroundColor: "warning.main", color: "warning.contrastText", borderRadius: "3px" }}>
        {value.slice(at, at + find.length)}
      </Box>
      {value.slice(at + find.length)}
    </>
  );
}
