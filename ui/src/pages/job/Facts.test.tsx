import { render, screen } from "@testing-library/react";
import { expect, it } from "vitest";

import type { JobDetail } from "../../api/types";
import { Facts } from "./Facts";

const JOB = {
  job_id: "4d1493ea-8ce0-42e6-adaa-877bef3d5330",
  kind: "archive",
  folder_name: "Project_Alpha",
  source_path: "/nas/Production/2024/Project_Alpha",
  globus_destination_path: "/Production/2024/Project_Alpha.tar.7z",
  created_by: "john",
  created_at: "2024-01-15T14:32:01Z",
  started_at: "2024-01-15T14:32:05Z",
  completed_at: "2024-01-15T15:45:23Z",
  retries: { automatic: 0, requested: 0 },
  folder_size_bytes: null,
  archive_size_bytes: null,
  file_count: null,
  globus_task_id: null,
  archive: null,
} as unknown as JobDetail;

it("says when a job was requested, began and ended to the second, and how long it took", () => {
  const { container } = render(<Facts job={JOB} />);

  expect(screen.getByText(/:32:01.* by john$/)).toBeInTheDocument();
  expect(screen.getByText(/:32:05/)).toBeInTheDocument();
  expect(screen.getByText(/:45:23/)).toBeInTheDocument();
  expect(container).toHaveTextContent("1h 13m 18s");
});
