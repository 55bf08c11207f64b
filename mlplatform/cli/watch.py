"""What `mlplatform up` watches: the daemon, which cannot tell when it is dead, and what its sensors no longer tell."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from mlplatform.errors import PlatformError
from mlplatform.home import Home
from mlplatform.spec import declared_use_cases, load_declaration
from mlplatform.watchdog.checks import Finding
from mlplatform.watchdog.seen import Seen

__all__ = ["DAEMON_SILENCE", "DaemonWatch", "tell_all"]

DAEMON_SILENCE = timedelta(minutes=3)
"""A living daemon says so every 30 seconds."""
_LOOK_SECONDS = 60.0


class DaemonWatch:
    """Looks once a minute from a thread of its own: the lake may be busy, and services must not wait for that."""

    def __init__(self, home: Home, say: Callable[[str], None]) -> None:
        self._home, self._say = home, say
        self._stop = threading.Event()
        self._seen = Seen()
        self._thread = threading.Thread(target=self._run, name="daemon watch", daemon=True)

    def start(self) -> None:
        """Begin to look, a minute from now."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a look that is under way is not waited for longer than a second."""
        self._stop.set()
        self._thread.join(timeout=1)

    def look(self) -> list[Finding]:
        """One look: a dead daemon, and with it all that its sensors no longer tell; nothing while it lives."""
        import dagster as dg

        from mlplatform.resources.sensor_states import daemon_silence
        from mlplatform.stages.alerting import wall_clock
        from mlplatform.stages.watchdog import look

        with dg.DagsterInstance.from_config(str(self._home.dagster)) as instance:
            silence = daemon_silence(instance)
            if silence is not None and silence < DAEMON_SILENCE:
                self._seen = Seen()
                return []
            quiet = f"for {silence.total_seconds() / 60:.0f} minutes" if silence else "since it was started"
            advice = f"end `mlplatform up` and start it again; see {self._home.logs / 'dagster.log'}"
            found = [Finding("daemon", f"Dagster's daemon has not been heard of {quiet}: no sensor ticks", advice)]
            for name in declared_use_cases():
                looked = look(load_declaration(name), instance, wall_clock(), ticking=False)
                found += [_of_use_case(name, finding) for finding in looked]
        return list({finding.subject: finding for finding in found}.values())

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                found = self.look()
                for finding in found:
                    if finding.subject not in self._seen.since:
                        self._say(f"{finding.title}; {finding.advice}")
                if found:
                    self._seen = tell_all(found, self._seen)
            except PlatformError as error:
                self._say(f"the watch could not look: {error}")


def _of_use_case(name: str, finding: Finding) -> Finding:
    """There is one disk; journals and sources of several use cases may be wrong in the same way at once."""
    return finding if finding.subject == "disk" else replace(finding, subject=f"{name}: {finding.subject}")


def tell_all(found: list[Finding], seen: Seen) -> Seen:
    """Alert the channels of every use case of what concerns the whole platform."""
    from mlplatform.stages.alerting import wall_clock
    from mlplatform.stages.watchdog import tell_findings

    after, now = Seen(), wall_clock()
    for name in declared_use_cases():
        after = tell_findings(load_declaration(name), found, seen, now)
    return after
