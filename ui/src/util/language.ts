/** Names of languages; nothing else in the app knows them. */
const LANGUAGES = new Intl.DisplayNames(["en"], { type: "language" });

/** "eng" -> "English". A code that is none stays as it is written. Pure. */
export function languageName(code: string): string {
  try {
    return LANGUAGES.of(code) ?? code;
  } catch {
    return code;
  }
}
