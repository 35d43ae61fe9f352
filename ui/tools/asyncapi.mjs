/** Check an AsyncAPI document, read from stdin, with AsyncAPI's own parser; prints each finding and ends with 1 when there is an error. */
import { Parser } from "@asyncapi/parser";

const ERROR = 0; // as the language server protocol counts: 0 error, 1 warning, 2 information, 3 hint
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { document, diagnostics } = await new Parser().parse(Buffer.concat(chunks).toString());
for (const { severity, code, path, message } of diagnostics) {
  console.log(`${severity} ${code} ${path.join("/")}: ${message}`);
}
process.exitCode = document === undefined || diagnostics.some(({ severity }) => severity === ERROR) ? 1 : 0;
