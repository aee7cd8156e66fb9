package group

import (
	"testing"
	"time"
)

func TestLeaseEndsTwoSecondsBeforeTheSessionCountedFromSending(t *testing.T) {
	start := time.Now()
	l := newLease(start, 45*time.Second)
	if l.mayStart(start) {
		t.Fatal("before any answer")
	}
	l.open(start.Add(10 * time.Second))
	for after, want := range map[time.Duration]bool{10 * time.Second: true, 52*time.Second + 999*time.Millisecond: true, 53 * time.Second: false, time.Hour: false} {
		if got := l.mayStart(start.Add(after)); got != want {
			t.Errorf("after %s: %v", after, got)
		}
	}
	l.extend(start.Add(20 * time.Second))
	l.extend(start.Add(15 * time.Second)) // an answer that came late
	if got := l.left(start.Add(20 * time.Second)); got != 43*time.Second {
		t.Fatalf("left %s", got)
	}
}

func TestShortSessionKeepsAThirdAsMargin(t *testing.T) {
	for session, want := range map[time.Duration]time.Duration{3 * time.Second: 2 * time.Second, 6 * time.Second: 4 * time.Second, 45 * time.Second: 43 * time.Second} {
		if got := shorten(session); got != want {
			t.Errorf("%s: %s", session, got)
		}
	}
}

func TestClosedLeaseIsOpenedByAnAssignmentOnly(t *testing.T) {
	start := time.Now()
	l := newLease(start, 45*time.Second)
	l.open(start)
	l.close()
	l.extend(start.Add(time.Second))
	if l.mayStart(start.Add(time.Second)) {
		t.Fatal("a late heartbeat opened it")
	}
	l.open(start.Add(time.Second))
	if !l.mayStart(start.Add(2 * time.Second)) {
		t.Fatal("an assignment did not open it")
	}
}

func TestMachineThatSleptNoticesByTheWallClock(t *testing.T) {
	start := time.Now()
	l := newLease(start, 45*time.Second)
	l.open(start)
	mono, wall := l.read(start.Add(time.Second))
	if l.session.left(mono, wall) <= 0 {
		t.Fatal("awake")
	}
	if l.session.left(mono, wall+int64(100*time.Second)) > 0 {
		t.Fatal("the monotonic clock stood still for 100 s, and so did the lease")
	}
	if l.session.left(mono+int64(100*time.Second), wall-int64(time.Hour)) > 0 {
		t.Fatal("the wall clock was set back, and lengthened the lease")
	}
}

func TestBarrierPausesAndLifts(t *testing.T) {
	start := time.Now()
	l := newLease(start, 45*time.Second)
	l.open(start)
	l.blockAt(start.Add(10 * time.Second))
	if !l.mayStart(start.Add(9*time.Second)) || l.mayStart(start.Add(10*time.Second)) {
		t.Fatal("barrier")
	}
	if l.left(start.Add(10*time.Second)) <= 0 {
		t.Fatal("a barrier takes nothing away")
	}
	l.unblock()
	if !l.mayStart(start.Add(10 * time.Second)) {
		t.Fatal("lifted")
	}
}
