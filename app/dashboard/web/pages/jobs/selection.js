// Which jobs are ticked, or that all are that the filters select.

/**
 * Create the selection: `{ids, all, …}`.
 *
 * `all` is the frozen filter of everything that matches, or null. `list()` gives the loaded rows and their places,
 * `onChange` is called after each change.
 */
export function makeSelection({ list, now, filters, count, onChange }) {
  let last = null;
  const self = {
    ids: new Set(),
    all: null,
    has: (id) => self.all !== null || self.ids.has(id),
    tick(id, isOn, isRange) {
      const { rows, indexOf } = list();
      self.all = null;
      const places = [last === null ? null : indexOf(last), indexOf(id)].toSorted(
        (one, other) => one - other,
      );
      const isSpan = isRange && places[0] !== null;
      const ids = isSpan ? rows.slice(places[0], places[1] + 1).map((job) => job.job_id) : [id];
      ids.forEach((one) => (isOn ? self.ids.add(one) : self.ids.delete(one)));
      last = id;
      onChange();
    },
    /** Tick all loaded rows, or none. */
    tickAll(isOn) {
      self.all = null;
      self.ids = new Set(isOn ? list().rows.map((job) => job.job_id) : []);
      onChange();
    },
    /** Select everything that the filters match now. Jobs that come later are not among it. */
    selectAll() {
      self.all = { filters: { ...filters() }, before: new Date(now()).toISOString(), count: count() };
      onChange();
    },
    clear() {
      self.ids.clear();
      self.all = null;
      onChange();
    },
  };
  return self;
}
