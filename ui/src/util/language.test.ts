import { expect, it } from "vitest";

import { languageName } from "./language";

it("names languages, and leaves a code that is none as it is", () => {
  expect(["spa", "pt-BR", "no language"].map(languageName)).toEqual(["Spanish", "Brazilian Portuguese", "no language"]);
});
