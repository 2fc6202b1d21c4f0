// The module `perf_hooks` and the global `performance`, in virtual time.

import { offer } from '../loader/builtins.js';
import { time } from '../core/loop.js';
import { globals, tag } from '../core/define.js';

class PerformanceEntry {
  constructor(name, entryType, startTime, duration) {
    Object.assign(this, { name, entryType, startTime, duration, detail: null });
  }
  toJSON() {
    return { ...this };
  }
}
class PerformanceObserver {
  observe() {}
  disconnect() {}
  takeRecords() {
    return [];
  }
  static supportedEntryTypes = ['function', 'gc', 'http', 'mark', 'measure'];
}
const marks = new Map();
class Performance {
  now() {
    return time() + 231.25;
  }
  get timeOrigin() {
    return Date.now() - time() - 231.25;
  }
  mark(name) {
    const entry = new PerformanceEntry(name, 'mark', this.now(), 0);
    marks.set(name, entry);
    return entry;
  }
  measure(name, from, to) {
    const start = marks.get(from)?.startTime ?? 0;
    return new PerformanceEntry(name, 'measure', start, (marks.get(to)?.startTime ?? this.now()) - start);
  }
  clearMarks(name) {
    if (name === undefined) marks.clear();
    else marks.delete(name);
  }
  clearMeasures() {}
  clearResourceTimings() {}
  getEntries() {
    return [...marks.values()];
  }
  getEntriesByName(name) {
    return [...marks.values()].filter((entry) => entry.name === name);
  }
  getEntriesByType(type) {
    return type === 'mark' ? [...marks.values()] : [];
  }
  eventLoopUtilization() {
    return { idle: 0, active: 0, utilization: 0 };
  }
  timerify(callback) {
    return callback;
  }
  markResourceTiming() {}
  setResourceTimingBufferSize() {}
  toJSON() {
    return { timeOrigin: this.timeOrigin };
  }
  get nodeTiming() {
    return {
      name: 'node',
      entryType: 'node',
      startTime: 0,
      duration: this.now(),
      nodeStart: 1,
      v8Start: 2,
      environment: 9,
      bootstrapComplete: 25,
      loopStart: 40,
      loopExit: -1,
      idleTime: 0,
    };
  }
}
const performance = new Performance();
const histogram = () => ({
  min: 0,
  max: 0,
  mean: 0,
  stddev: 0,
  count: 0,
  exceeds: 0,
  percentiles: new Map(),
  enable: () => true,
  disable: () => true,
  reset() {},
  percentile: () => 0,
  record() {},
  recordDelta() {},
});
offer('perf_hooks', {
  performance,
  Performance,
  PerformanceEntry,
  PerformanceObserver,
  PerformanceMark: PerformanceEntry,
  PerformanceMeasure: PerformanceEntry,
  PerformanceNodeTiming: PerformanceEntry,
  PerformanceObserverEntryList: class {},
  PerformanceResourceTiming: PerformanceEntry,
  monitorEventLoopDelay: histogram,
  createHistogram: histogram,
  eventLoopUtilization: () => performance.eventLoopUtilization(),
  timerify: (f) => f,
  constants: { NODE_PERFORMANCE_GC_MAJOR: 4, NODE_PERFORMANCE_GC_MINOR: 1 },
});
globals({ performance, PerformanceEntry, PerformanceObserver, Performance: tag(Performance) });
