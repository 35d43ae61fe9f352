"""The links of the OpenAPI document (3.1, Link Object). They tell programs which response leads to which request."""

from typing import Any, NamedTuple

from litestar.openapi.spec import Link


class _Way(NamedTuple):
    """A value in an operation's success response that is a parameter of other operations."""

    operation: str
    value: str
    parameter: str
    targets: str


_OF_JOB, _OF_TASK = "getJob cancelJob retryJob getJobLogs", "getTask controlTask streamJob"
_OF_USER = "changeUser deleteUser listTokens"
_OF_PACK = "getPack cancelPack downloadPack"
_OF_FILE = "getFileInfo deleteFile"
_NEXT_PAGE = "$response.header.X-Next-Cursor"
WAYS = (
    _Way("createJob", "$response.body#/job_id", "job_id", _OF_JOB),
    _Way("createJob", "$response.body#/job_id", "task_id", _OF_TASK),
    _Way("listJobs", "$response.body#/0/job_id", "job_id", _OF_JOB),
    _Way("listJobs", "$response.body#/0/job_id", "task_id", _OF_TASK),
    _Way("listJobs", _NEXT_PAGE, "cursor", "listJobs"),
    _Way("getJob", "$response.body#/job_id", "job_id", "cancelJob retryJob getJobLogs"),
    _Way("retryJob", "$response.body#/job_id", "job_id", "getJob cancelJob getJobLogs"),
    _Way("listTasks", "$response.body#/0/task_id", "task_id", _OF_TASK),
    _Way("getTask", "$response.body#/task_id", "task_id", "controlTask streamJob"),
    _Way("controlTask", "$response.body#/task_id", "task_id", "getTask"),
    _Way("createUser", "$response.body#/id", "user_id", f"getUser {_OF_USER}"),
    _Way("listUsers", "$response.body#/0/id", "user_id", f"getUser {_OF_USER}"),
    _Way("getUser", "$response.body#/id", "user_id", _OF_USER),
    _Way("createToken", "$response.body#/id", "token_id", "revokeToken"),
    _Way("listTokens", "$response.body#/0/id", "token_id", "revokeToken"),
    _Way("listEvents", "$response.body#/last", "after", "listEvents"),
    _Way("listAudit", _NEXT_PAGE, "cursor", "listAudit"),
    _Way("listFiles", "$response.body#/0/path", "path", f"{_OF_FILE} downloadFile listArchiveEntries getArchiveStats"),
    _Way("listFiles", _NEXT_PAGE, "cursor", "listFiles"),
    _Way("makeFolder", "$response.body#/path", "path", f"{_OF_FILE} listFiles"),
    _Way("moveFile", "$response.body#/path", "path", _OF_FILE),
    _Way("uploadFile", "$response.body#/entry/path", "path", f"{_OF_FILE} downloadFile"),
    _Way("listUploads", "$response.body#/0/upload_id", "upload_id", "giveUpUpload"),
    _Way("createPack", "$response.body#/id", "pack_id", _OF_PACK),
    _Way("listPacks", "$response.body#/0/id", "pack_id", _OF_PACK),
    _Way("listPacks", _NEXT_PAGE, "cursor", "listPacks"),
    _Way("getPack", "$response.body#/id", "pack_id", "cancelPack downloadPack"),
    _Way("createArchive", "$response.body#/job_id", "job_id", "getJob cancelJob getJobLogs"),
    _Way("extractArchive", "$response.body#/job_id", "job_id", "getJob cancelJob getJobLogs"),
    _Way("listWorkspaces", "$response.body#/0/user_id", "user_id", "removeWorkspace"),
)


def links_of(operation: str) -> dict[str, Any]:
    """Return the links of an operation's success response, by target operation."""
    found: dict[str, Any] = {
        target: Link(operation_id=target, parameters={way.parameter: way.value})
        for way in WAYS
        if way.operation == operation
        for target in way.targets.split()
    }
    if operation == "listFolders":
        found["createJob"] = Link(operation_id="createJob", request_body={"folder_path": "$response.body#/0/path"})
    return found
