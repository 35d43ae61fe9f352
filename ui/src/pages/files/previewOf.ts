/** How a file is previewed, and what its bytes are as text. Pure. */
import type { FileEntry } from "../../api/types";
import { isMedia } from "../../util/files";

export type Kind = "picture" | "drawing" | "media" | "pdf" | "text" | "large";

/** What is read of a text at most. */
export const TEXT_BYTES = 256 * 1024;
/** A larger picture may cost the browser more memory than it has. */
const PICTURE_BYTES = 64 * 1024 * 1024;
const DRAWING_BYTES = 1024 * 1024;

const PICTURE = /\.(jpe?g|png|gif|webp|avif|bmp|ico)$/i;
const UTF16_LE = [0xff, 0xfe] as const;
const UTF16_BE = [0xfe, 0xff] as const;

/** Everything that is nothing else is tried as text. */
export function kindOf(entry: Pick<FileEntry, "name" | "type" | "size">): Kind {
  const size = entry.size ?? 0;
  if (isMedia(entry)) return "media";
  if (/\.pdf$/i.test(entry.name)) return "pdf";
  if (/\.svg$/i.test(entry.name) && size <= DRAWING_BYTES) return "drawing";
  if (PICTURE.test(entry.name)) return size <= PICTURE_BYTES ? "picture" : "large";
  return "text";
}

/** The text of a file's beginning; null: it is no text. `cut`: more follows, so that the last letter may be torn. */
export function decoded(bytes: Uint8Array, cut: boolean): string | null {
  const begins = (mark: readonly [number, number]) => bytes[0] === mark[0] && bytes[1] === mark[1];
  const wide = begins(UTF16_LE) ? "utf-16le" : begins(UTF16_BE) ? "utf-16be" : null;
  if (wide) return new TextDecoder(wide).decode(bytes, { stream: cut });
  if (bytes.includes(0)) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: cut });
  } catch {
    const controls = bytes.reduce((n, byte) => n + Number(byte < 9 || (byte > 13 && byte < 32 && byte !== 27)), 0);
    return controls * 50 > bytes.length ? null : new TextDecoder("windows-1252").decode(bytes);
  }
}

/** A drawing as the source of an image: there it runs no script and loads nothing, whatever is in it. */
export function drawingSource(svg: string): string {
  return `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
}
