"""Stories of administration, in a real browser before real processes."""

import csv
import io
import re
import secrets
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Route, expect

from tests.dashboard import browser
from tests.dashboard.browser import Visit, visiting
from tests.dashboard.site import PASSWORD, Person, Site, person
from tests.dashboard.test_pages import OVERFLOW, READ, SAME, WIDTHS, violations
from tests.support.waiting import until

browser.skip_without()

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABS = ("users", "queues", "quotas", "audit", "system")
REASON = "New drivers until noon."


async def promote(site: Site, who: Person, role: str = "admin") -> None:
    await site.fetch("UPDATE users SET role = $2 WHERE username = $1 RETURNING id", who.name, role)


async def answers(site: Site, who: Person, method: str, path: str, **more: Any) -> int:
    """The status of what the API itself answers."""
    async with httpx.AsyncClient(base_url=site.url, trust_env=False) as client:
        form = {"username": who.name, "password": PASSWORD}
        token = (await client.post("/token", data=form)).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        return (await client.request(method, path, headers=headers, **more)).status_code


async def test_a_user_sees_no_control_of_administrators_and_gets_403_directly(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await visit.enter(ada)
    await expect(visit.page.locator("#nav .admin")).to_have_count(0)
    for tab in ("", *(f"/{name}" for name in TABS)):
        await visit.open(f"admin{tab}")
        role = "Operator" if tab == "/queues" else "Administrator"
        await expect(visit.main).to_contain_text(f"This requires the {role} role.")
        await expect(visit.main.locator("a, button, input, select, table")).to_have_count(0)
    user_id = (await ada.ask("GET", "/users/me"))["user_id"]
    for method, path in (
        ("GET", "/users"),
        ("PATCH", f"/users/{user_id}"),
        ("PUT", f"/users/{user_id}/quotas"),
        ("POST", f"/users/{user_id}/password-reset"),
        ("POST", "/invitations"),
        ("GET", "/queues"),
        ("POST", "/queues/default/pause"),
        ("POST", "/queues/default/resume"),
        ("GET", "/audit"),
        ("GET", "/audit/verification"),
        ("GET", "/system"),
    ):
        body: dict[str, Any] = {"json": {}} if method != "GET" else {}
        assert await answers(the_site, ada, method, path, **body) == 403, (method, path)
    assert await the_site.fetch("SELECT count(*) FROM paused_queues") == 0
    assert not [url for url in visit.requests if re.search(r":\d+/(users\?|queues|audit|system)", url)]


async def test_an_operator_pauses_a_queue_with_a_reason_that_users_are_told(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await promote(the_site, ada, "operator")
    await visit.enter(ada, "admin")
    await expect(visit.main.locator("nav .tab")).to_have_text(["Queues"])
    row = visit.page.locator("tr[data-queue=default]")
    await expect(row).to_contain_text("default")
    await row.get_by_role("button", name="Pause: default").click()
    dialog = visit.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Pause default? Running jobs continue; pending jobs wait.")
    reason = dialog.get_by_label("Reason, shown to users with pending jobs")
    await expect(reason).to_be_focused()
    await dialog.get_by_role("button", name="Pause").click()
    await expect(dialog).to_be_visible()  # without a reason, nothing happens
    await dialog.get_by_role("button", name="Keep it").click()
    assert await the_site.fetch("SELECT count(*) FROM paused_queues") == 0

    await row.get_by_role("button", name="Pause: default").click()
    await reason.fill(REASON)
    await visit.page.keyboard.press("Enter")

    try:
        await expect(visit.page.locator(".toast")).to_contain_text("default paused")
        await expect(row).to_contain_text(f"paused {REASON} {ada.name}")
        assert await the_site.fetch("SELECT reason FROM paused_queues WHERE name = 'default'") == REASON
        async with person(the_site) as grace, visiting(visit.page.context.browser, the_site) as other:  # type: ignore[arg-type]
            job = await grace.ask("POST", "/jobs/batch-predict", json={"texts": ["fine"]})
            await other.enter(grace)
            line = other.page.locator(".attention .line")
            await expect(line).to_contain_text("The queue “default” is paused (1 pending)")
            await expect(line).to_contain_text(REASON)
            await other.open("jobs")
            await expect(other.page.locator(".jobs-table td.details")).to_have_text("queue default is paused")
            await other.open(f"jobs/{job['job_id']}")
            await expect(other.page.locator(".why")).to_contain_text(
                f"{ada.name} paused this queue: {REASON}"
            )
            await expect(row.locator("td").first).to_have_text("1")
            await row.get_by_role("link", name="1", exact=True).click()
            await expect(visit.rows.locator(".details")).to_have_text("queue default is paused")
            await visit.page.go_back()

            await row.get_by_role("button", name="Resume: default").click()

            await expect(row.get_by_role("button", name="Pause: default")).to_be_visible()
            await expect(other.page.locator(".job-head .facts .state")).to_have_text("Completed")
    finally:
        await the_site.fetch("DELETE FROM paused_queues RETURNING name")
    lane = visit.page.locator("tr[data-queue='/predict']")
    await expect(lane).to_be_visible()
    await expect(lane.get_by_role("button")).to_have_count(0)


async def test_an_administrator_creates_changes_disables_and_deletes_a_user(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await promote(the_site, ada)
    name = f"new-{ada.name}"
    await visit.enter(ada, "admin/users")
    await visit.page.get_by_text("New user").first.click()
    form = visit.page.locator("details", has_text="New user").locator("form")
    await form.get_by_label("Username").fill(name)
    await form.get_by_label("Password").fill("short")
    visit.expected |= {422}
    await form.get_by_role("button", name="New user").click()
    await expect(visit.alert).to_have_text("Use at least 8 characters, and not a common password.")
    await form.get_by_label("Password").fill(PASSWORD)
    await form.get_by_label("Role").select_option("viewer")
    await form.get_by_role("button", name="New user").click()
    row = visit.page.locator("tr", has=visit.page.get_by_text(name, exact=True))
    await expect(row).to_be_visible()
    assert await the_site.fetch("SELECT role FROM users WHERE username = $1", name) == "viewer"

    await visit.page.get_by_label(f"Role: {name}").select_option("operator")
    await expect(visit.page.locator(".toast").last).to_contain_text("Saved")
    assert await the_site.fetch("SELECT role FROM users WHERE username = $1", name) == "operator"

    async def choose(item: str) -> None:
        await row.get_by_role("button", name=f"More actions: {name}").click()
        await visit.page.get_by_role("menuitem", name=item).click()

    dialog = visit.page.get_by_role("dialog")
    await choose("Reset password")
    token = await dialog.locator("code").text_content()
    assert token is not None
    await dialog.get_by_role("button", name="Close").click()
    await expect(visit.page.locator("dialog")).to_have_count(0)  # it is taken away after it has closed
    fresh = {"token": token, "new_password": "another long passphrase"}
    async with httpx.AsyncClient(base_url=the_site.url, trust_env=False) as client:
        assert (await client.post("/password-resets", json=fresh)).status_code == 204
    assert token not in await visit.page.content()

    await choose("Disable account")
    await dialog.get_by_role("button", name="Disable account").click()
    await expect(row).to_contain_text("disabled")
    assert await the_site.fetch("SELECT is_active FROM users WHERE username = $1", name) is False
    await choose("Enable account")
    await expect(row).not_to_contain_text("disabled")

    await choose("Delete")
    await expect(dialog).to_contain_text(f"Delete {name}?")
    await dialog.get_by_role("button", name="Delete").click()
    await expect(row).to_have_count(0)
    deleted = "SELECT count(*) FROM users WHERE username = $1 AND deleted_at IS NULL"
    assert await the_site.fetch(deleted, name) == 0
    own = visit.page.locator("tr", has=visit.page.get_by_text(ada.name, exact=True))
    await own.get_by_role("button").click()
    await expect(visit.page.get_by_role("menuitem")).to_have_text(["Quotas"])


async def test_an_invitation_is_shown_once_creates_an_account_and_can_be_revoked(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await promote(the_site, ada)
    await visit.enter(ada, "admin/users")
    await visit.page.get_by_text("Invite a user").first.click()
    form = visit.page.locator("details", has_text="Invite a user").locator("form")
    await form.get_by_label("Role").select_option("operator")
    await form.get_by_role("button", name="Invite a user").click()
    dialog = visit.page.get_by_role("dialog")
    token = await dialog.locator("code").text_content()
    await dialog.get_by_role("button", name="Close").click()
    created = {"username": f"guest-{ada.name}", "password": PASSWORD, "invitation": token}
    async with httpx.AsyncClient(base_url=the_site.url, trust_env=False) as client:
        assert (await client.post("/users", json=created)).json()["role"] == "operator"

    await form.get_by_role("button", name="Invite a user").click()
    await dialog.get_by_role("button", name="Close").click()
    await visit.page.get_by_role("button", name="Revoke invitation").click()

    await expect(visit.page.get_by_role("button", name="Revoke invitation")).to_have_count(0)
    assert (await ada.ask("GET", "/invitations"))["items"] == []


async def test_quotas_are_seen_and_changed_and_an_empty_field_is_the_default(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await promote(the_site, ada)
    user_id = (await ada.ask("GET", "/users/me"))["user_id"]
    await visit.enter(ada, "admin/quotas")
    await visit.page.get_by_label("Username").fill(ada.name)
    await visit.page.get_by_label("Username").press("Tab")
    await visit.page.get_by_role("link", name=ada.name).click()
    await expect(visit.page.locator("h2")).to_have_text(f"Quotas: {ada.name}")
    active = visit.page.get_by_label("Unfinished jobs")
    await expect(active).to_have_value("")
    await active.fill("7")
    await visit.page.get_by_label("Storage (GB)").fill("1.5")
    await visit.page.get_by_label("Schedules").fill("0")
    await visit.page.get_by_role("button", name="Save").click()
    await expect(visit.page.locator(".toast")).to_contain_text("Saved")

    found = await ada.ask("GET", f"/users/{user_id}/quotas")
    assert found["active_jobs"] == {"used": 0, "limit": 7, "is_default": False}
    assert found["stored_bytes"]["limit"] == 1_500_000_000
    assert (found["schedules"]["limit"], found["schedules"]["is_default"]) == (None, False)
    assert found["streams"]["is_default"]
    await expect(visit.page.get_by_label("Schedules")).to_have_value("0")

    await active.fill("")
    await visit.page.get_by_role("button", name="Save").click()

    async def is_default() -> bool:
        quotas = await ada.ask("GET", f"/users/{user_id}/quotas")
        return bool(quotas["active_jobs"]["is_default"] and quotas["stored_bytes"]["limit"] == 1_500_000_000)

    await until(is_default)
    visit.expected |= {422}
    await visit.page.get_by_label("Open streams").fill("0")
    await visit.page.get_by_role("button", name="Save").click()
    await expect(visit.page.get_by_label("Open streams")).to_have_attribute("aria-invalid", "true")


async def test_the_audit_log_is_filtered_and_verified(visit: Visit, ada: Person, the_site: Site) -> None:
    await promote(the_site, ada)
    async with person(the_site) as grace:
        await grace.ask("GET", "/users/me")
    await visit.enter(ada, "admin/audit")
    table = visit.page.get_by_role("table", name="Audit log")
    await expect(table).to_contain_text(grace.name)

    await visit.page.get_by_label("Action").select_option("session.signed_in")
    await expect(table).not_to_contain_text("User created")
    await table.get_by_role("button", name=grace.name).first.click()
    await expect(table).not_to_contain_text(ada.name)
    assert "action=session.signed_in" in visit.page.url
    await visit.page.reload()
    await expect(table).to_contain_text(grace.name)
    await expect(table).not_to_contain_text(ada.name)
    async with visit.page.expect_download() as download:
        await visit.page.get_by_role("button", name="Download CSV").click()
    saved = list(csv.DictReader(io.StringIO((await (await download.value).path()).read_text())))
    assert {(row["action"], row["actor_name"]) for row in saved} == {("session.signed_in", grace.name)}
    await visit.page.get_by_label("Outcome").select_option("throttled")
    await expect(visit.main).to_contain_text("No entries match.")

    await visit.page.get_by_role("button", name="Verify the log").click()

    await expect(visit.main.get_by_role("status")).to_contain_text("Intact: ")
    await expect(visit.main.get_by_role("status")).to_contain_text(re.compile(r"\d+:[0-9a-f]{64}"))


async def test_the_system_is_told_as_the_api_knows_it(visit: Visit, ada: Person, the_site: Site) -> None:
    await promote(the_site, ada)
    await visit.enter(ada, "admin/system")
    found = await ada.ask("GET", "/system")

    await expect(visit.page.locator(".system")).to_contain_text(f"Postgres {found['database']['version']}")
    await expect(visit.page.locator(".system .tag.ok")).to_have_count(3)
    loops = visit.page.get_by_role("table", name="Loops of this process")
    await expect(loops.get_by_role("rowheader")).to_have_text([loop["loop"] for loop in found["loops"]])
    await expect(loops.get_by_role("row", name="rescue")).to_contain_text("on time")


async def test_no_tab_is_wider_than_the_screen_or_speaks_another_language(
    the_browser: Browser, the_site: Site, ada: Person
) -> None:
    from axe_playwright_python.async_playwright import Axe  # slow to import

    await promote(the_site, ada)
    user_id = (await ada.ask("GET", "/users/me"))["user_id"]
    await the_site.fetch(
        "INSERT INTO paused_queues (name, reason) VALUES ('night', $1) RETURNING name", REASON * 6
    )
    try:
        for scheme, language in (("light", "en"), ("dark", "zh-CN")):
            async with visiting(the_browser, the_site, color_scheme=scheme) as visit:
                await visit.enter(ada)
                await visit.page.evaluate(
                    "kept => localStorage.setItem('headrace.preferences', JSON.stringify(kept))",
                    {"language": language},
                )
                for tab in (*TABS, f"quotas?user={user_id}"):
                    await visit.open(f"admin/{tab}")
                    await expect(visit.page.locator("html")).to_have_attribute("lang", language)
                    shown = visit.main.locator("section.panel :is(table, ul, form)")
                    await expect(shown.first).to_be_visible()
                    await expect(visit.page.locator(".skeleton")).to_have_count(0)
                    for fold in await visit.main.locator("details.panel > summary").all():
                        await fold.click()
                    assert await violations(Axe(), visit.page) == [], tab
                    for width in WIDTHS:
                        await visit.page.set_viewport_size({"width": width, "height": 900})
                        assert await visit.page.evaluate(OVERFLOW) == [], (tab, width)
                    read = await visit.page.evaluate(READ)
                    assert not [text for text in read if "⟦" in text], tab
                    if language == "zh-CN":
                        latin = [
                            text
                            for text in read
                            if re.search("[a-zA-Z]{3}", text) and not re.search("[一-鿿]", text)
                        ]
                        names = re.compile(f"ada-|Postgres|Redis|{REASON}")
                        wrong = [text for text in latin if not SAME.match(text) and not names.search(text)]
                        assert wrong == [], tab
    finally:
        await the_site.fetch("DELETE FROM paused_queues RETURNING name")


async def test_an_invitation_and_a_reset_token_are_entered_where_one_signs_in(
    visit: Visit, ada: Person, the_site: Site
) -> None:
    await promote(the_site, ada)
    page, name = visit.page, f"grace-{secrets.token_hex(4)}"
    invitation = (await ada.ask("POST", "/invitations", json={"role": "viewer"}))["token"]

    async def ask_for_invitations(route: Route) -> None:
        answer = await route.fetch()
        shell = await answer.text()
        registration = '<meta name="headrace-registration" content="'
        assert f'{registration}open">' in shell
        await route.fulfill(
            response=answer, body=shell.replace(f'{registration}open">', f'{registration}invitation">')
        )

    visit.expected |= {400, 403}
    await page.route("**/dashboard/sign-in", ask_for_invitations)
    await visit.open("sign-in")
    await page.get_by_role("button", name="Create an account").click()
    await expect(page.get_by_label("Invitation")).to_be_focused()
    await page.get_by_label("Username").fill(name)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Create an account").click()
    await expect(page.locator(".field-fault").filter(visible=True)).to_have_text("Required")
    await page.get_by_label("Invitation").fill("no invitation")
    await page.get_by_role("button", name="Create an account").click()
    await expect(visit.alert).to_contain_text("The invitation is not valid")
    await page.get_by_label("Invitation").fill(f" {invitation} ")
    await page.get_by_role("button", name="Create an account").click()
    await expect(visit.connection).to_contain_text("Live")
    role = await the_site.fetch("SELECT role FROM users WHERE username = $1", name)
    assert role == "viewer"

    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Username")).to_be_visible()
    user_id = await the_site.fetch("SELECT id::text FROM users WHERE username = $1", name)
    token = (await ada.ask("POST", f"/users/{user_id}/password-reset"))["token"]
    await page.get_by_role("button", name="Set a new password with a token").click()
    await expect(page.get_by_label("Reset token")).to_be_focused()
    await page.get_by_label("Reset token").fill("no token")
    await page.get_by_label("New password").fill(f"{PASSWORD} 2")
    await page.get_by_role("button", name="Set password").click()
    await expect(visit.alert).to_contain_text("The reset token is not valid")
    await page.get_by_label("Reset token").fill(token)
    await page.get_by_role("button", name="Set password").click()
    await expect(page.locator("#toasts")).to_contain_text("Password set")
    await page.get_by_label("Username").fill(name)
    await page.get_by_label("Password", exact=True).fill(f"{PASSWORD} 2")
    await page.get_by_role("button", name="Sign in").click()
    await expect(visit.connection).to_contain_text("Live")
