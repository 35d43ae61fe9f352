/** What is said of a media file. Pure. */
import type { MediaInfo } from "../../api/types";
import { filesText as text } from "../../text/enFiles";
import { languageName } from "../../util/language";
import { timecode } from "../../util/time";

/** In short; label and value, without what is not known. */
export function summary(info: MediaInfo): [string, string][] {
  const rows: [string, string | null | undefined][] = [
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
  return rows.filter((row): row is [string, string] => Boolean(row[1]));
}

function marks(stream: { language?: string | null; title?: string | null; default?: boolean; forced?: boolean }): (string | null | undefined | false)[] {
  return [stream.language && languageName(stream.language), stream.title, stream.default && text.info.default, stream.forced && text.info.forced];
}

function lineOf(index: number, ...parts: (string | null | undefined | false)[]): string {
  return `${text.info.stream(index)}: ${parts.filter(Boolean).join(", ")}`;
}

/** One line for each stream. */
export function streams(info: MediaInfo): string[] {
  return [
    ...(info.video_streams ?? []).map((one) =>
      lineOf(one.index, text.info.video, one.codec_label, one.profile, `${one.width}x${one.height}`, one.fps ? text.info.fps(one.fps) : null, one.attached_picture ? null : one.aspect_ratio, one.bit_depth ? text.info.depth(one.bit_depth) : null, one.pixel_format, one.color_space, one.hdr, one.rotation ? text.info.rotated(one.rotation) : null, one.attached_picture && text.info.cover, one.bit_rate ? text.info.mbps(one.bit_rate) : null, ...marks(one)),
    ),
    ...(info.audio_streams ?? []).map((one) =>
      lineOf(one.index, text.info.audio, one.codec_label, one.channel_label, one.sample_rate ? text.info.hertz(one.sample_rate) : null, one.bit_rate ? text.info.kbps(one.bit_rate) : null, ...marks(one)),
    ),
    ...(info.subtitle_streams ?? []).map((one) => lineOf(one.index, text.info.subtitles, one.codec_label, one.styled && text.info.styled, one.hearing_impaired && text.info.impaired, ...marks(one))),
  ];
}

export function chapters(info: MediaInfo): string[] {
  return (info.chapters ?? []).map((chapter) => [timecode(chapter.start_seconds), chapter.title].filter(Boolean).join("  "));
}
