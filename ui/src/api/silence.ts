/**
 * Whether the gateway is silent: nothing came from it for some seconds, neither over the socket, which has a heartbeat every 2 s, nor as
 * an answer. Before that it is asked by a request of its own, so that a proxy without WebSockets is no silence.
 */
import { useSyncExternalStore } from "react";

export const SILENT_MS = 4000;
const ASK_MS = 2500;
const ANSWER_MS = 1400;
const TICK_MS = 250;
/** Timers that came this late stood still themselves: the page was hidden or the computer slept. */
const ASLEEP_MS = 1500;

type Ask = (signal: AbortSignal) => Promise<Response>;

function health(signal: AbortSignal): Promise<Response> {
  return fetch("/api/health", { signal, cache: "no-store" });
}

export class Silence {
  private heardAt = 0;
  private tickedAt = 0;
  private asking = false;
  private timer: number | undefined;
  private silent = false;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly ask: Ask = health) {}

  /** Watch from now on, while somebody is logged in. */
  use(login: string | null) {
    window.clearInterval(this.timer);
    this.timer = undefined;
    this.tickedAt = Date.now();
    this.heard();
    if (login !== null) this.timer = window.setInterval(this.tick, TICK_MS);
  }

  /** The gateway said something. */
  heard = () => {
    this.heardAt = Date.now();
    this.set(false);
  };

  /** An answer came; a proxy's own "the gateway does not answer" is none. */
  answered = (response: Response) => {
    if (response.status !== 502 && response.status !== 504) this.heard();
  };

  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  };

  isSilent = () => this.silent;

  private set(silent: boolean) {
    if (silent === this.silent) return;
    this.silent = silent;
    for (const listener of this.listeners) listener();
  }

  private tick = () => {
    const now = Date.now();
    if (now - this.tickedAt >= ASLEEP_MS && !this.silent) this.heardAt = Math.max(this.heardAt, now - ASK_MS);
    this.tickedAt = now;
    if (now - this.heardAt >= ASK_MS) void this.probe();
    if (now - this.heardAt >= SILENT_MS) this.set(true);
  };

  private async probe() {
    if (this.asking) return;
    this.asking = true;
    try {
      this.answered(await this.ask(AbortSignal.timeout(ANSWER_MS)));
    } catch {
      // Silence is what is being found out.
    }
    this.asking = false;
  }
}

export const silence = new Silence();

/** True while nothing comes from the gateway: what needs it is disabled then. */
export function useSilent(): boolean {
  return useSyncExternalStore(silence.subscribe, silence.isSilent);
}
