import { expect, it } from "vitest";

import { fromResponse, fromThrown, isPassing } from "./errors";

it("takes sentence, kind, request id and waiting time from a problem document", () => {
  const response = new Response("", { status: 503, headers: { "retry-after": "7", "x-request-id": "abc" } });

  const error = fromResponse(response, { type: "unavailable", title: "Service Unavailable", status: 503, detail: "The database is away.", request_id: "abc" });

  expect({ ...error, message: error.message }).toMatchObject({ message: "The database is away.", status: 503, kind: "unavailable", requestId: "abc", retryAfter: 7 });
  expect(isPassing(error)).toBe(true);
});

it("says so when something else answered in the gateway's place", () => {
  const error = fromResponse(new Response("<html>", { status: 404 }), "<html>");

  expect(error.kind).toBe("strange");
  expect(isPassing(error)).toBe(false);
});

it("knows no answer from a bug", () => {
  expect(fromThrown(new TypeError("Failed to fetch")).kind).toBe("unreachable");
  expect(isPassing(fromThrown(new TypeError("Failed to fetch")))).toBe(true);
  expect(fromThrown(new Error("bug")).message).toBe("bug");
});
