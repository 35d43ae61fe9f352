"""The guard cannot be bypassed: whatever objects a service's role creates, each forbidden change is still refused.

The names come from the functions' definitions in the catalog, so a new function is covered at once.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from shared.domain.lifecycle import EDGES, Kind, Role, Status
from shared.infra import migrate
from shared.migrations.guard import PATH
from tests.shared.domain.test_lifecycle import (
    BY_HAND,
    DONE,
    ROLES,
    WORKSPACE_WORLDS,
    WORLDS,
    holds,
    holds_in_workspace,
    prepare,
)
from tests.shared.rows import DENIED, EVIDENCE, proven
from tests.support.kernel import MANIFEST_SHA, MD5, SHA, Kernel

# As in test_lifecycle, but every name is qualified: the statement must not depend on the caller's search path.
TRY_TARGETS = """
CREATE FUNCTION public.try_changes(job uuid, targets text[]) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  target text;
  answers text[] := '{}';
BEGIN
  FOREACH target IN ARRAY targets LOOP
    BEGIN
      UPDATE public.jobs SET status = target WHERE id OPERATOR(pg_catalog.=) job;
      RAISE EXCEPTION 'undo' USING ERRCODE = CASE WHEN FOUND THEN 'CS000' ELSE 'CS999' END;
    EXCEPTION WHEN OTHERS THEN
      answers := pg_catalog.array_append(answers, SQLSTATE::pg_catalog.text);
    END;
  END LOOP;
  RETURN answers;
END $$;
GRANT EXECUTE ON FUNCTION public.try_changes(uuid, text[]) TO PUBLIC"""

OURS = """
SELECT p.oid::regprocedure::text AS name, p.proconfig, p.prosrc, p.prosecdef, p.prorettype = 'trigger'::regtype AS by_trigger, p.proacl
FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"""

ARCHIVE = (
    "INSERT INTO {table} (job_id, attempt, archive_path, size, sha256, md5, manifest_size, manifest_sha256, manifest_md5, manifest,"
    f" file_count, total_bytes) VALUES ($1, $2, '/a', 5, '{SHA}', '{MD5}', 7, '{MANIFEST_SHA}', '{MD5}', 'm', 1, 1)"
)


class Names(NamedTuple):
    """Every name that our functions use and that a role could shadow with an object of its own."""

    relations: list[str]
    types: list[str]
    routines: list[Any]
    operators: list[Any]


async def names_of_the_guard(owner: Any) -> Names:
    """Return the names in our functions' bodies that the catalog knows."""
    text = " ".join(row["prosrc"] for row in await owner.fetch(OURS))
    words = sorted(set(re.findall(r"[a-z_][a-z0-9_]*", text.lower())))
    signs = sorted(set(re.findall(r"[-+*/<>=~!@#%^&|?]+", re.sub(r"--.*|'[^']*'", " ", text))))
    relations = await owner.fetch(
        "SELECT DISTINCT relname FROM pg_class WHERE relkind IN ('r', 'v', 'p') AND relname = ANY($1) ORDER BY 1", words
    )
    types = await owner.fetch(
        "SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typname = ANY($1) AND typtype = 'b' ORDER BY 1",
        words,
    )
    routines = await owner.fetch(
        "SELECT proname, pg_get_function_identity_arguments(oid) AS arguments, pg_get_function_result(oid) AS result FROM pg_proc"
        " WHERE proname = ANY($1) AND prokind IN ('f', 'a') AND pronamespace IN ('pg_catalog'::regnamespace, 'public'::regnamespace)",
        words,
    )
    operators = await owner.fetch(
        "SELECT oprname, oprleft::regtype::text AS left, oprright::regtype::text AS right, oprresult::regtype::text AS result"
        " FROM pg_operator WHERE oprname = ANY($1) AND oprleft <> 0 AND oprnamespace = 'pg_catalog'::regnamespace",
        signs,
    )
    return Names([r[0] for r in relations], [r[0] for r in types], routines, operators)


@asynccontextmanager
async def login(kernel: Kernel, role: Role) -> AsyncIterator[Any]:
    """Connect as the role, as the service does: its own name, password and settings."""
    connection = await asyncpg.connect(kernel.url(role))
    try:
        yield connection
    finally:
        await connection.close()


async def answer(connection: Any, statement: str, *args: Any) -> str:
    """Return the SQLSTATE of the refusal, or "ok"."""
    try:
        await connection.execute(statement, *args)
    except asyncpg.PostgresError as exc:
        return str(exc.sqlstate)
    return "ok"


def forgeries(names: Names, role: Role) -> dict[str, str]:
    """Return statements that create a shadowing object under each name: object -> SQL. Pure."""
    made = {"schema mine": "CREATE SCHEMA mine", "schema $user": f"CREATE SCHEMA cs_{role}"}
    for name in names.relations:
        made[f"temporary table {name}"] = f'CREATE TEMPORARY TABLE "{name}" (LIKE public."{name}" INCLUDING DEFAULTS)'
        made[f"table mine.{name}"] = f'CREATE TABLE mine."{name}" (LIKE public."{name}")'
        made[f"temporary view {name}v"] = f'CREATE TEMPORARY VIEW "{name}v" AS SELECT * FROM public."{name}"'
        made[f"schema {name}"] = f'CREATE SCHEMA "{name}"'
        made[f"table public.{name}x"] = f'CREATE TABLE public."{name}x" (n integer)'
    for place in ("pg_temp", "mine", "public"):
        for name in names.types:
            made[f"domain {place}.{name}"] = f'CREATE DOMAIN {place}."{name}" AS pg_catalog."{name}"'
        for row in names.routines:
            signature = f'{place}."{row["proname"]}"({row["arguments"]})'
            body = "SELECT 1" if row["result"] == "integer" else f"SELECT NULL::{row['result']}"
            made[f"function {signature}"] = f"CREATE FUNCTION {signature} RETURNS {row['result']} LANGUAGE sql AS $$ {body} $$"
        for row in names.operators:
            function = f"{place}.sign_{abs(hash(tuple(row)))}"
            always = "true" if row["result"] == "boolean" else f"NULL::{row['result']}"
            arguments = f"({row['left']}, {row['right']})"
            what = f"operator {place}.{row['oprname']}{arguments}"
            made[f"function for {what}"] = (
                f"CREATE FUNCTION {function}{arguments} RETURNS {row['result']} LANGUAGE sql AS $$ SELECT {always} $$"
            )
            made[what] = (
                f"CREATE OPERATOR {place}.{row['oprname']} (LEFTARG = {row['left']}, RIGHTARG = {row['right']}, FUNCTION = {function})"
            )
        made[f"domain {place}.word"] = f"CREATE DOMAIN {place}.word AS text"
        made[f"cast {place}.word"] = f"CREATE CAST ({place}.word AS integer) WITH INOUT AS IMPLICIT"
        made[f"type {place}.pair"] = f"CREATE TYPE {place}.pair AS (a integer, b integer)"
    return made


async def fill(connection: Any, job: UUID) -> None:
    """Fill the existing temporary tables with rows that would allow everything."""
    everything = (
        "INSERT INTO pg_temp.edges (kind, source, target, role, forward) SELECT k, s, t, replace(current_user, 'cs_', ''), true"
        " FROM unnest($1::text[]) k, unnest($2::text[]) s, unnest($2::text[]) t"
    )
    with suppress(asyncpg.UndefinedTableError):
        await connection.execute(everything, [str(kind) for kind in Kind], [str(status) for status in Status])
    with suppress(asyncpg.UndefinedTableError):
        await connection.execute(ARCHIVE.format(table="pg_temp.archives"), job, 1)
    for kind in ("task", "remote", "content"):
        with suppress(asyncpg.UndefinedTableError):
            statement = EVIDENCE.replace("verifications", "pg_temp.verifications")
            await connection.execute(statement, job, 1, kind, 1, SHA, MANIFEST_SHA)


async def objects_of(kernel: Kernel, role: Role) -> int:
    """Return how many objects in this database belong to the role."""
    found = await kernel.owner.fetchval(
        "SELECT count(*) FROM pg_shdepend WHERE refobjid = $1::text::regrole AND deptype = 'o'"
        " AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
        f"cs_{role}",
    )
    return int(found)


async def forbidden_edges_taken(kernel: Kernel, connection: Any, role: Role, job: UUID, kind: Kind, world: str) -> list[str]:
    """Return every forbidden change of state that this connection achieved. All changes are rolled back."""
    wrong = []
    for source in Status:
        await kernel.force(job, status=source)
        targets = [target for target in Status if target is not source]
        await connection.execute("SET search_path = pg_temp, mine, public, pg_catalog")
        answers = await connection.fetchval("SELECT public.try_changes($1, $2)", job, targets)
        await connection.execute("RESET search_path")
        for target, given in zip(targets, answers, strict=True):
            legal = [edge for edge in EDGES[kind] if (edge.source, edge.target, edge.owner) == (source, target, role)]
            holding = [e for e in legal if (holds(world, e) if kind is Kind.ARCHIVE else holds_in_workspace(world, e, kind))]
            if (given == DONE) != bool(holding):
                wrong.append(f"{kind}, {world}: {source} -> {target} as {role}: {given}")
    await kernel.force(job, status="completed")
    return wrong


async def allow_everything(kernel: Kernel) -> None:
    """Grant all rights, as in a database whose rights were lost or granted by its administrator."""
    name = urlsplit(kernel.dsn).path[1:]
    await kernel.owner.execute(f"GRANT TEMPORARY, CREATE ON DATABASE {name} TO PUBLIC; GRANT CREATE ON SCHEMA public TO PUBLIC")


@pytest.mark.parametrize("allowed", [False, True], ids=["as shipped", "with the right to make anything"])
@pytest.mark.parametrize("role", Role)
async def test_no_name_of_its_own_talks_the_guard_round(kernel: Kernel, role: Role, allowed: bool) -> None:
    """A role creates objects under all names that the guard uses, then tries every change of state.

    As shipped, it can create none. With the right to create them, each function's path still finds the real ones.
    """
    await kernel.owner.execute(TRY_TARGETS)
    if allowed:
        await allow_everything(kernel)
    names = await names_of_the_guard(kernel.owner)
    assert {"edges", "verifications", "archives", "globus_tasks"} <= set(names.relations)
    assert {row["proname"] for row in names.routines} >= {"complete_evidence", "count"}
    assert {row["oprname"] for row in names.operators} >= {"=", "||", "<>"}
    wrong: list[str] = []
    async with login(kernel, role) as connection:
        # The driver looks up its types once, before they are shadowed.
        await connection.fetchval("SELECT public.try_changes($1, $2)", await kernel.job(), [])
        answers = {what: await answer(connection, statement) for what, statement in forgeries(names, role).items()}
        assert (await objects_of(kernel, role) > 100) == allowed
        for what in ("temporary table edges", "domain mine.text", 'function mine."complete_evidence"(job uuid)'):
            assert (answers[what] == "ok") == allowed, (what, answers[what])
        assert (answers["operator mine.=(text, name)"] == "ok") == allowed
        for kind in Kind:
            for world in WORLDS if kind is Kind.ARCHIVE else WORKSPACE_WORLDS:
                job = await prepare(kernel, kind, world)
                await fill(connection, job)
                wrong += await forbidden_edges_taken(kernel, connection, role, job, kind, world)

    assert wrong == []


@pytest.mark.parametrize("role", Role)
async def test_forged_names_open_no_other_door(kernel: Kernel, role: Role) -> None:
    """Columns, evidence, archives, places and log lines are refused as without the shadowing tables."""
    await allow_everything(kernel)
    job = await proven(kernel)
    names = await names_of_the_guard(kernel.owner)
    place = ROLES.index(role)
    evidence = EVIDENCE.replace("verifications", "public.verifications")
    task = (
        "INSERT INTO public.globus_tasks (submission_id, job_id, attempt, purpose, destination_key, request)"
        " SELECT gen_random_uuid(), job_id, 1, 'removal', key, '{}' FROM public.destinations WHERE job_id = $1"
    )
    async with login(kernel, role) as connection:
        for name in names.relations:
            await answer(connection, f'CREATE TEMPORARY TABLE "{name}" (LIKE public."{name}" INCLUDING DEFAULTS)')
        await fill(connection, job)
        columns = {
            change: await answer(connection, f"UPDATE public.jobs SET {change} WHERE id = $1", job)
            for change in BY_HAND
            if BY_HAND[change][place] != "ok"
        }
        others = {
            "evidence": await answer(connection, evidence, job, 1, "task", 1, SHA, MANIFEST_SHA),
            "archive": await answer(connection, ARCHIVE.format(table="public.archives"), job, 9),
            "removal": await answer(connection, task, job),
            "release": await answer(connection, "UPDATE public.destinations SET state = 'released' WHERE job_id = $1", job),
            "removing": await answer(connection, "UPDATE public.destinations SET state = 'removing' WHERE job_id = $1", job),
            "log": await answer(
                connection,
                "INSERT INTO public.job_logs (job_id, level, action, message) VALUES ($1, 'INFO', 'transition', 'x')",
                job,
            ),
        }

    assert columns == {change: BY_HAND[change][place] for change in columns}
    assert {what for what, given in others.items() if given not in {DENIED, "CS001", "CS003"}} == set()


async def test_every_function_has_the_fixed_path(kernel: Kernel) -> None:
    """A function resolves names in pg_catalog, then in public, and among temporary objects last, for every caller."""
    rows = await kernel.owner.fetch(OURS)

    assert {row["name"]: row["proconfig"] for row in rows if f"search_path={PATH}" not in (row["proconfig"] or [])} == {}
    assert len(rows) >= 20


async def test_outsiders_may_call_none_of_our_functions(kernel: Kernel) -> None:
    """PUBLIC has no right on any. A function with the owner's rights belongs to the one service that needs it."""
    rows = await kernel.owner.fetch(
        f"SELECT o.name, coalesce(array_agg(a.grantee::regrole::text) FILTER (WHERE a.grantee <> o.owner), '{{}}') AS who"
        f" FROM (SELECT p.proowner AS owner, f.* FROM ({OURS}) f JOIN pg_proc p ON p.oid = f.name::regprocedure) o"
        " LEFT JOIN LATERAL aclexplode(coalesce(o.proacl, acldefault('f', o.owner))) a ON true GROUP BY o.name"
    )
    who = {row["name"]: set(row["who"]) for row in rows}

    assert {name for name, roles in who.items() if "-" in roles} == set()
    assert who["release_destination(uuid)"] == {"cs_uploader"}
    assert who["fold_job_totals()"] == {"cs_gateway"}
    assert who["complete_evidence(uuid)"] == {f"cs_{role}" for role in Role}


# Statements that would switch the guard off: statement -> the required result. `{role}` is the caller's own name.
SWITCHES = [
    "SET session_replication_role = replica",
    "SET ROLE {other}",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION {other}",
    "GRANT {other} TO {role}",
    "ALTER ROLE {other} SET search_path = mine",
    "ALTER ROLE {other} PASSWORD 'mine'",
    "ALTER ROLE {role} SET session_replication_role = replica",
    "ALTER ROLE {role} SUPERUSER",
    "CREATE ROLE mine LOGIN",
    "ALTER DATABASE {database} SET search_path = mine",
    "ALTER DATABASE {database} OWNER TO {role}",
    "ALTER SYSTEM SET session_replication_role = replica",
    "SET plpgsql.variable_conflict = use_column",
    "ALTER TABLE jobs DISABLE TRIGGER ALL",
    "DROP TRIGGER jobs_guard ON jobs",
    "CREATE TRIGGER mine BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION never_changed()",
    "CREATE RULE mine AS ON UPDATE TO jobs DO INSTEAD NOTHING",
    "CREATE POLICY mine ON jobs USING (true)",
    "ALTER FUNCTION jobs_guard() RESET ALL",
    "ALTER FUNCTION complete_evidence(uuid) SET search_path = mine",
    "CREATE OR REPLACE FUNCTION complete_evidence(job uuid) RETURNS integer LANGUAGE sql STABLE AS 'SELECT 1'",
    "DROP FUNCTION complete_evidence(uuid) CASCADE",
    "INSERT INTO edges VALUES ('archive', 'queued', 'completed', 'gateway', true)",
    "UPDATE edges SET role = 'gateway'",
    "CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION never_changed()",
    "DROP EXTENSION plpgsql CASCADE",
    "CREATE PUBLICATION mine FOR ALL TABLES",
    "COPY jobs TO PROGRAM 'true'",
    "COPY jobs TO '/tmp/mine'",
    "SELECT pg_read_file('postgresql.conf')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
    "ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT ALL ON TABLES TO PUBLIC",
    "TRUNCATE outbox",
    "DO $$ BEGIN LOCK TABLE edges IN ACCESS EXCLUSIVE MODE; END $$",
]


@pytest.mark.parametrize("role", Role)
async def test_no_role_switches_the_guard_off(kernel: Kernel, role: Role) -> None:
    """Triggers, functions, roles, settings, files and large objects: each is refused for lack of a right."""
    other = Role.SCANNER if role is not Role.SCANNER else Role.UPLOADER
    words = {"role": f"cs_{role}", "other": f"cs_{other}", "database": urlsplit(kernel.dsn).path[1:]}
    async with login(kernel, role) as connection:
        # If it is set before the language is loaded, the server drops it when the language loads.
        assert await answer(connection, "SET plpgsql.variable_conflict = use_column") == "ok"
        await connection.execute("DO $$ BEGIN END $$")
        assert await connection.fetchval("SHOW plpgsql.variable_conflict") == "error"
        answers = {statement: await answer(connection, statement.format(**words)) for statement in SWITCHES}

    assert {statement: given for statement, given in answers.items() if given != DENIED} == {}


@pytest.mark.parametrize("role", Role)
async def test_what_a_role_changes_of_itself_opens_nothing(kernel: Kernel, role: Role) -> None:
    """A role may change its own defaults. Its next login starts with its chosen search path, and each refusal stays."""
    database, job = urlsplit(kernel.dsn).path[1:], await kernel.job()
    async with login(kernel, role) as connection:
        change = f"ALTER ROLE cs_{role} IN DATABASE {database} SET search_path = pg_temp, public"
        assert await answer(connection, change) == "ok"

    async with login(kernel, role) as connection:
        assert await connection.fetchval("SHOW search_path") == "pg_temp, public"
        assert await answer(connection, "CREATE TEMPORARY TABLE edges (n integer)") == DENIED
        given = await answer(connection, "UPDATE public.jobs SET status = 'completed' WHERE id = $1", job)

    assert (given, (await kernel.row(job))["status"]) == ("CS002", "queued")


@pytest.mark.parametrize("role", Role)
async def test_a_role_finds_our_names_before_temporary_ones(kernel: Kernel, role: Role) -> None:
    """The services' own SQL names tables without a schema. Their path, too, has temporary objects last."""
    async with login(kernel, role) as connection:
        assert await connection.fetchval("SHOW search_path") == PATH


async def test_an_upgrade_fixes_what_was_lost_or_came_later(kernel: Kernel) -> None:
    """A restored backup lacks its database's rights, and a later function may lack its path. An upgrade sets both."""
    await kernel.owner.execute(
        "CREATE FUNCTION later() RETURNS integer LANGUAGE sql AS 'SELECT 1';"
        " CREATE FUNCTION later_for_one() RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';"
        " GRANT EXECUTE ON FUNCTION later_for_one() TO cs_scanner"
    )
    await allow_everything(kernel)

    await asyncio.to_thread(migrate.upgrade, kernel.dsn)

    await test_every_function_has_the_fixed_path(kernel)
    async with login(kernel, Role.SCANNER) as connection:
        assert await answer(connection, "CREATE TEMPORARY TABLE edges (n integer)") == DENIED
        assert await answer(connection, "CREATE TABLE public.mine (n integer)") == DENIED
        assert await answer(connection, "CREATE SCHEMA mine") == DENIED
        assert await connection.fetchval("SELECT later() + later_for_one()") == 2
    async with login(kernel, Role.GATEWAY) as connection:
        assert await connection.fetchval("SELECT later()") == 1
        assert await answer(connection, "SELECT later_for_one()") == DENIED


async def test_a_forged_edge_completes_no_job(kernel: Kernel) -> None:
    """An earlier attack: a temporary table `edges` took a job from queued to completed."""
    await allow_everything(kernel)
    job = await kernel.job()
    async with login(kernel, Role.GATEWAY) as connection:
        await connection.execute("CREATE TEMPORARY TABLE edges (LIKE public.edges)")
        await connection.execute("INSERT INTO pg_temp.edges VALUES ('archive', 'queued', 'completed', 'gateway', true)")
        given = await answer(connection, "UPDATE public.jobs SET status = 'completed' WHERE id = $1", job)

    assert (given, (await kernel.row(job))["status"]) == ("CS002", "queued")
