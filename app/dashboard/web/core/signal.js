// Values that tell their readers when they change.

let reading = null; // the effect that runs now
const due = new Set();

/** Create a value. An effect that reads `value` runs again after it is set to another one. */
export function signal(value) {
  const readers = new Set();
  return {
    get value() {
      if (reading !== null) {
        readers.add(reading);
        reading.sources.add(readers);
      }
      return value;
    },
    set value(next) {
      if (!Object.is(value, next)) {
        value = next;
        readers.forEach(schedule);
      }
    },
    /** The value, without reading it. */
    peek: () => value,
  };
}

/** Run a function now, and again once a frame after a signal that it has read changes, until `abort`. */
export function effect(run, abort) {
  const self = { run, sources: new Set() };
  abort?.addEventListener("abort", () => forget(self), { once: true });
  if (!abort?.aborted) {
    execute(self);
  }
}

/** Call `run` with the value of a signal now, and again whenever it changes. What `run` reads does not count. */
export function watch(source, run, abort) {
  effect(() => {
    const { value } = source;
    reading = null; // `execute` sets it back
    run(value);
  }, abort);
}

function schedule(one) {
  if (due.size === 0) {
    // A hidden tab has no frames.
    document.hidden ? setTimeout(flush) : requestAnimationFrame(flush);
  }
  due.add(one);
}

function flush() {
  const now = [...due];
  due.clear();
  now.forEach(execute);
}

function execute(one) {
  forget(one);
  const before = reading;
  reading = one;
  try {
    one.run();
  } finally {
    reading = before;
  }
}

function forget(one) {
  one.sources.forEach((readers) => readers.delete(one));
  one.sources.clear();
  due.delete(one);
}
