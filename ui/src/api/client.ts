/** Typed calls to the gateway, made from its own description (generated.ts). Every failure is an ApiError. */
import createClient, { type Middleware } from "openapi-fetch";

import { ApiError, fromResponse, fromThrown } from "./errors";
import type { paths } from "./generated";
import { session } from "./session";
import { silence } from "./silence";

const noticingTheEnd: Middleware = {
  onResponse({ request, response }) {
    silence.answered(response);
    // A wrong password at the login is no end of a login.
    if (response.status === 401 && !request.url.endsWith("/api/auth/login")) session.end();
  },
};

export const api = createClient<paths>({ baseUrl: window.location.origin });
api.use(noticingTheEnd);

interface Outcome<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

export interface Answer<T> {
  data: T;
  headers: Headers;
}

/** The answer with its headers. Throws ApiError. */
export async function answer<T>(call: Promise<Outcome<T>>): Promise<Answer<T>> {
  let outcome: Outcome<T>;
  try {
    outcome = await call;
  } catch (thrown) {
    throw fromThrown(thrown);
  }
  if (!outcome.response.ok) throw fromResponse(outcome.response, outcome.error);
  return { data: outcome.data as T, headers: outcome.response.headers };
}

/** Only the body. Throws ApiError. */
export async function ask<T>(call: Promise<Outcome<T>>): Promise<T> {
  return (await answer(call)).data;
}

export function total(headers: Headers, fallback: number): number {
  const value = Number(headers.get("x-total-count") ?? Number.NaN);
  return Number.isFinite(value) ? value : fallback;
}

export { ApiError };
