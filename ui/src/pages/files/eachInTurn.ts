import { type ApiError, fromThrown } from "../../api/errors";

/** One request after the other; what fails does not stop the rest. Throws only when the single one there is fails. */
export async function eachInTurn<T>(items: T[], act: (item: T) => Promise<unknown>): Promise<{ done: number; failures: ApiError[] }> {
  const failures: ApiError[] = [];
  for (const item of items) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- in the order of the list, and no crowd of requests
      await act(item);
    } catch (thrown) {
      if (items.length === 1) throw thrown;
      failures.push(fromThrown(thrown));
    }
  }
  return { done: items.length - failures.length, failures };
}
