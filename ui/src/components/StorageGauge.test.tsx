import { render, screen } from "@testing-library/react";
import { expect, it } from "vitest";

import { StorageGauge } from "./StorageGauge";

const DISK = { total_gb: 100, used_gb: 48, free_gb: 52, available_gb: 52, percent_used: 48.3, system_reserved_gb: 0, job_reserved_gb: 0, low: false };

it("says how much is free, and the usage in percent", () => {
  render(<StorageGauge disk={DISK} />);

  expect(screen.getByText("52.00 GB free")).toBeInTheDocument();
  expect(screen.getByText("48 % used")).toBeInTheDocument();
});
