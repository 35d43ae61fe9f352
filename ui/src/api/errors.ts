/** Whatever went wrong with a request, as one kind of error with a sentence a person can act on. */
import { text } from "../text/en";
import type { Problem } from "./generated";

export class ApiError extends Error {
  override name = "ApiError";
  /** HTTP status; 0: no answer at all. */
  readonly status: number;
  /** The gateway's stable word for programs, for example "conflict". */
  readonly kind: string;
  /** To be quoted when asking for help. */
  readonly requestId: string;
  /** Seconds after which it makes sense to try again; null when the server did not say. */
  readonly retryAfter: number | null;
  /** What is wrong with which value, where the server said so. */
  readonly fields: Record<string, string>;

  constructor(message: string, status: number, kind: string, requestId = "", retryAfter: number | null = null, fields: Record<string, string> = {}) {
    super(message);
    this.fields = fields;
    this.status = status;
    this.kind = kind;
    this.requestId = requestId;
    this.retryAfter = retryAfter;
  }
}

/** From an answer that is not 2xx. `body`: its parsed JSON, or whatever came. */
export function fromResponse(response: Response, body: unknown): ApiError {
  const seconds = Number(response.headers.get("retry-after"));
  const retryAfter = Number.isFinite(seconds) && seconds > 0 ? seconds : null;
  const requestId = response.headers.get("x-request-id") ?? "";
  if (isProblem(body)) return new ApiError(body.detail, response.status, body.type, body.request_id || requestId, retryAfter, fieldsOf(body));
  return new ApiError(text.error.strange, response.status, "strange", requestId, retryAfter);
}

function fieldsOf(body: Problem): Record<string, string> {
  return Object.fromEntries((body.errors ?? []).map(({ field, message }) => [field, message]));
}

/** From whatever was thrown on the way. */
export function fromThrown(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof TypeError) return new ApiError(text.error.unreachable, 0, "unreachable");
  return new ApiError(thrown instanceof Error ? thrown.message : text.error.strange, 0, "strange");
}

/** True when the same request may succeed in a moment. */
export function isPassing(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 0 || error.status === 503 || error.status === 502 || error.status === 504);
}

/** True when what stands in the way goes by itself, and the server said when to ask again. */
export function isSoon(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409 && error.retryAfter !== null;
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "detail" in body && "type" in body && typeof body.detail === "string";
}
