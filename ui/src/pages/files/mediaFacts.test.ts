import { expect, it } from "vitest";

import type { MediaInfo } from "../../api/types";
import { chapters, streams, summary } from "./mediaFacts";

const FILM: MediaInfo = {
  file: "film.mkv",
  format: "Matroska",
  format_name: "matroska",
  size_bytes: 1,
  size_human: "1 B",
  duration: "00:01:05",
  bit_rate: 2_000_000,
  quality: { label: "High (1080p)", rating: "High" },
  chapters: [
    { start_seconds: 0, end_seconds: 60, title: "Opening" },
    { start_seconds: 60, end_seconds: 65 },
  ],
  video_streams: [
    { index: 0, codec: "hevc", codec_label: "HEVC", width: 1080, height: 1920, display_width: 1920, display_height: 1080, fps: 25, aspect_ratio: "16:9", pixel_format: "yuv420p10le", color_space: "bt2020nc", hdr: "HDR10", bit_depth: 10, rotation: 90, default: true },
    { index: 3, codec: "mjpeg", codec_label: "MJPEG", width: 500, height: 500, display_width: 500, display_height: 500, attached_picture: true },
  ],
  audio_streams: [{ index: 1, codec: "aac", codec_label: "AAC", channel_label: "6 (5.1)", sample_rate: 48_000, bit_rate: 384_000, language: "deu", title: "Kommentar" }],
  subtitle_streams: [{ index: 2, codec: "ass", codec_label: "ASS", styled: true, forced: true, language: "eng" }],
};

it("sums a film up without what is not known", () => {
  expect(summary(FILM)).toEqual([
    ["Quality", "High (1080p)"],
    ["Container", "Matroska"],
    ["Duration", "00:01:05"],
    ["Size", "1 B"],
    ["Bit rate", "2.00 Mbps"],
  ]);
});

it("has a line for each stream, with what is special about it", () => {
  expect(streams(FILM)).toEqual([
    "Stream 0: Video, HEVC, 1080x1920, 25 fps, 16:9, 10 bit, yuv420p10le, bt2020nc, HDR10, rotated by 90°, default",
    "Stream 3: Video, MJPEG, 500x500, cover picture",
    "Stream 1: Audio, AAC, 6 (5.1), 48 kHz, 384 kbit/s, German, Kommentar",
    "Stream 2: Subtitles, ASS, styled, English, forced",
  ]);
  expect(streams({ ...FILM, video_streams: undefined, audio_streams: undefined, subtitle_streams: undefined })).toEqual([]);
});

it("tells where chapters begin, also those without a name", () => {
  expect(chapters(FILM)).toEqual(["00:00:00  Opening", "00:01:00"]);
});
