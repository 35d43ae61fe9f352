import { render, screen } from "@testing-library/react";
import { expect, it } from "vitest";

import { ProgressBar } from "./ProgressBar";

it("has a number only when there is one", () => {
  const { rerender } = render(<ProgressBar bar={{ kind: "determinate", value: 41.6 }} label="Progress of A" />);
  expect(screen.getByRole("progressbar", { name: "Progress of A" })).toHaveAttribute("aria-valuenow", "42");

  rerender(<ProgressBar bar={{ kind: "indeterminate", from: 33, to: 66 }} label="Progress of A" step="Step 2/3: Compressing" />);

  const bar = screen.getByRole("progressbar");
  expect(bar).not.toHaveAttribute("aria-valuenow");
  expect(bar).toHaveAttribute("aria-valuetext", "Step 2/3: Compressing");
});
