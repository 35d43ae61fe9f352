/** The API's types under the names the app uses. */
export type {
  Folder,
  JobDetail,
  JobLogLine,
  JobSummary,
  JobUpdate,
  LiveMessage,
  Queue,
  QueuedJob,
  Status,
  StateTime,
  SystemStatus,
  User,
  Verification,
} from "./generated";
