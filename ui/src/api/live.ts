/**
 * One WebSocket per tab, outside React. It reconnects by itself, notices a connection that died without saying so, and hands over
 * what came once per frame: a thousand messages a second are still one render.
 */
import type { LiveMessage } from "./types";

export type ConnectionState = "connecting" | "live" | "reconnecting";

export interface Connection {
  state: ConnectionState;
  /** When the server was last heard, milliseconds; null: never yet. */
  heardAt: number | null;
  /** Tries in a row that failed. */
  failures: number;
}

export interface Handlers {
  /** Something came, whatever it says. */
  heard: () => void;
  /** Messages of one frame, in order. */
  messages: (messages: LiveMessage[]) => void;
  /** Connected again after a gap: what was read before may be old. `after`: the last event seen before it; null: none was. */
  resumed: (after: number | null) => void;
  /** The server ended the login (4401) or wants a new password first (4403). */
  refused: (reason: "login" | "password") => void;
}

/** The server says something every 2 s at least; longer silence than this means that the connection is dead. */
export const SILENCE_MS = 25_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const STABLE_MS = 10_000;
const HIDDEN_FLUSH_MS = 500;

/** The number of the newest event, in messages that tell it. */
function seqOf(message: LiveMessage): number | null {
  return "seq" in message && typeof message.seq === "number" ? message.seq : null;
}

/** Before try number `failures`: doubling, with 50 to 100 % of it, so that browsers do not come back in step. `random` 0..1. */
export function waitBefore(failures: number, random: number): number {
  const full = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.max(0, failures - 1));
  return Math.round(full * (0.5 + random / 2));
}

export class Live {
  private socket: WebSocket | null = null;
  private login: string | null = null;
  private buffer: LiveMessage[] = [];
  private flushing = false;
  private everLive = false;
  private seq: number | null = null;
  private timer: number | undefined;
  private watchdog: number | undefined;
  private openedAt = 0;
  private readonly listeners = new Set<() => void>();
  private state: Connection = { state: "connecting", heardAt: null, failures: 0 };

  constructor(private readonly handlers: Handlers) {
    const wake = () => {
      if (document.visibilityState !== "visible") this.flush();
      else if (this.socket && this.isSilent()) this.closed(0);
      else if (this.login && !this.socket) this.connect();
    };
    window.addEventListener("online", wake);
    document.addEventListener("visibilitychange", wake);
  }

  /** Follow during this login; null: stop. The cookie says who we are. */
  use(login: string | null) {
    if (login === this.login) return;
    this.login = login;
    this.drop();
    this.everLive = false;
    this.seq = null;
    this.set({ state: "connecting", heardAt: null, failures: 0 });
    if (login) this.connect();
  }

  connection = (): Connection => this.state;

  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  };

  private set(change: Partial<Connection>) {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }

  private connect() {
    window.clearTimeout(this.timer);
    if (!this.login) return;
    const address = new URL("/ws/jobs", window.location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    this.socket = socket;
    this.watch(); // a connection attempt may hang as well
    socket.addEventListener("open", () => {
      if (socket === this.socket) this.openedAt = Date.now();
    });
    socket.addEventListener("message", (event: MessageEvent<string>) => {
      if (socket === this.socket) this.receive(event.data);
    });
    socket.addEventListener("close", (event) => {
      if (socket === this.socket) this.closed(event.code);
    });
  }

  private receive(text: string) {
    this.watch();
    this.handlers.heard();
    const message = JSON.parse(text) as LiveMessage;
    const first = this.state.state !== "live";
    // The clock on the page reads heardAt; listeners need not hear of every frame.
    this.state = { ...this.state, heardAt: Date.now() };
    if (first) {
      this.set({ state: "live", failures: 0 });
      if (this.everLive) this.handlers.resumed(this.seq);
      this.everLive = true;
    }
    // A snapshot begins the count: after a stream was made anew its numbers are smaller.
    const seq = seqOf(message);
    if (seq !== null) this.seq = message.type === "snapshot" ? seq : Math.max(seq, this.seq ?? seq);
    this.buffer.push(message);
    this.schedule();
  }

  private schedule() {
    if (this.flushing) return;
    this.flushing = true;
    // A hidden tab gets no frames.
    if (document.visibilityState === "visible") window.requestAnimationFrame(this.flush);
    else window.setTimeout(this.flush, HIDDEN_FLUSH_MS);
  }

  private flush = () => {
    this.flushing = false;
    const messages = this.buffer;
    this.buffer = [];
    if (messages.length > 0) this.handlers.messages(messages);
  };

  /** A computer that slept has timers that slept too; the clock did not. */
  private isSilent(): boolean {
    return this.state.state === "live" && this.state.heardAt !== null && Date.now() - this.state.heardAt >= SILENCE_MS;
  }

  private watch() {
    window.clearTimeout(this.watchdog);
    this.watchdog = window.setTimeout(() => this.closed(0), SILENCE_MS);
  }

  private drop() {
    window.clearTimeout(this.timer);
    window.clearTimeout(this.watchdog);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private closed(code: number) {
    const steady = this.openedAt > 0 && Date.now() - this.openedAt >= STABLE_MS;
    this.openedAt = 0;
    this.drop();
    if (code === 4401 || code === 4403) {
      this.login = null;
      this.handlers.refused(code === 4401 ? "login" : "password");
      return;
    }
    const failures = steady ? 1 : this.state.failures + 1;
    this.set({ state: this.everLive ? "reconnecting" : "connecting", failures });
    this.timer = window.setTimeout(() => this.connect(), waitBefore(failures, Math.random()));
  }
}
