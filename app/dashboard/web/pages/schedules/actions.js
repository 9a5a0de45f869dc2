// What can be done with a schedule, and with all of a group.

import { field } from "../../parts/forms.js";

/** The entries of the menu of a schedule. `onDeleted` is called in place of `onChanged` once it is gone. */
export function scheduleItems(app, one, onChanged, onDeleted = onChanged) {
  const { t } = app;
  const path = `schedules/${one.schedule_id}`;
  const change = (action) =>
    act(app, () => app.session.post(`${path}/${action}`), t("done.saved"), onChanged);
  return [
    { text: t("act.edit"), run: () => app.go(`${path}/edit`) },
    one.status === "active"
      ? { text: t("act.pause"), run: () => change("pause") }
      : one.status !== "finished" && { text: t("act.resume"), run: () => change("resume") },
    { text: t("act.run"), run: () => act(app, () => runNow(app, one), null, onChanged) },
    {
      text: t("act.delete"),
      isDangerous: true,
      run: () => remove(app, t("sched.delete", { name: one.name }), path, one.name, onDeleted),
    },
  ].filter(Boolean);
}

/** The entries of the menu of a group. */
export function groupItems(app, name, count, onChanged) {
  const { t, format } = app;
  const path = `schedule-groups/${encodeURIComponent(name)}`;
  const values = { group: name, n: format.number(count) };
  const change = (action) => ({
    text: t(`sched.${action}.group`, values),
    run: () =>
      act(
        app,
        async () => {
          const { schedules } = await app.session.post(`${path}/${action}`);
          app.notices.toast(t("sched.group.done", { n: format.number(schedules) }));
        },
        null,
        onChanged,
      ),
  });
  return [
    change("pause"),
    change("resume"),
    change("run"),
    {
      text: t("sched.delete.group.action", values),
      isDangerous: true,
      run: () => remove(app, t("sched.delete.group", values), path, name, onChanged),
    },
  ];
}

async function act(app, run, said, onChanged) {
  try {
    await run();
    if (said !== null) {
      app.notices.toast(said);
    }
    onChanged();
  } catch (problem) {
    app.fail(problem);
  }
}

/** Run a schedule now; while a job of it is active, only if the reader says so. */
async function runNow(app, one) {
  const { t, session, notices } = app;
  const path = `schedules/${one.schedule_id}/run`;
  try {
    await session.post(path);
  } catch (problem) {
    if (problem.code !== "schedule_busy") {
      throw problem;
    }
    const isAgreed = await notices.ask({
      title: t("sched.busy", { name: one.name }),
      text: t("sched.busy.text"),
      action: t("sched.overlap.allow"),
      isDangerous: false,
    });
    if (!isAgreed) {
      return;
    }
    await session.post(path, { force: true });
  }
  notices.toast(t("sched.ran", { name: one.name }));
}

async function remove(app, title, path, name, onDeleted) {
  const { t, notices, session } = app;
  const cancels = field(app, { name: "cancel_jobs", label: t("sched.delete.jobs"), type: "checkbox" });
  if (await notices.ask({ title, content: cancels.element, action: t("act.delete") })) {
    await act(
      app,
      () => session.json("DELETE", path, { query: { cancel_jobs: cancels.value } }),
      t("done.deleted", { name }),
      onDeleted,
    );
  }
}
