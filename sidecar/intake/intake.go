package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"golang.org/x/sync/errgroup"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake/group"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/ledger"
)

// Config is what the intake needs to know.
type Config struct {
	Cluster                           *cluster.Cluster
	Topic                             string
	GroupID, InstanceID, ClientID     string
	Rack                              string
	SessionTimeout, HeartbeatInterval time.Duration
	RebalanceTimeout                  time.Duration
	DrainTimeout                      time.Duration // what running attempts get when partitions are let go
	StopTimeout                       time.Duration // what they get when the process stops
	StopRest                          time.Duration // what there is then for the last commit and for leaving the group; 0: as long as each may take
	ReadCommitted, CheckCRCs          bool
	FetchMinBytes, FetchMaxBytes      int32
	PartitionMaxBytes                 int32
	FetchMaxWait, SocketTimeout       time.Duration
	FetchErrorBackoff                 time.Duration // after an answer that says no; connections have their own
	ReconnectBackoff                  time.Duration
	ReconnectBackoffMax               time.Duration
	RetryBackoff, RetryBackoffMax     time.Duration
	MetadataMaxAge                    time.Duration
	BatchAllowance                    int64 // bytes of answers and unpacked batches held by all readers together
	StartAt                           StartAt
	EndAt                             EndAt
	CommitInterval                    time.Duration
	StartupTimeout                    time.Duration
	Needs                             []protocol.ApiKey               // requests that others make to the same cluster
	Paused                            bool                            // join, read nothing
	LaneScheme                        uint32                          // how the delivery hashes lanes, see ledger.Identity
	Ready                             func(ctx context.Context) error // what else must be there before the first join; nil for nothing
	OnRebalance                       func()
	Logger                            *slog.Logger
}

// Intake is one subscription's side towards Kafka.
type Intake struct {
	cfg      Config
	delivery Delivery
	member   *group.Member
	topic    *topicView
	holds    *holds
	fixed    *fixedEnds // nil: there is no end; set once, before the group is joined
	log      *slog.Logger

	mu      sync.Mutex
	owned   map[int32]*assignment
	readers sync.WaitGroup

	committing chan struct{} // holds a token from the asking for commits to their outcome

	started, everJoined atomic.Bool

	commitWarned atomic.Int64 // when a failing commit was last logged, Unix nanoseconds
	beat         atomic.Int64 // when the commit loop last turned, Unix nanoseconds
	seen         atomic.Int64 // when a broker last answered, Unix nanoseconds
	waitingFor   atomic.Pointer[string]
}

// assignment is one partition while it is ours.
type assignment struct {
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when nothing reads the partition any more
}

// New makes an intake. It does no I/O.
func New(cfg Config, d Delivery) *Intake {
	in := &Intake{
		cfg: cfg, delivery: d, log: cfg.Logger, owned: map[int32]*assignment{}, holds: newHolds(cfg.BatchAllowance),
		topic: newTopicView(cfg.Topic, cfg.Cluster.Topic), committing: make(chan struct{}, 1),
	}
	in.member = group.New(group.Config{
		Cluster: cfg.Cluster, GroupID: cfg.GroupID, InstanceID: cfg.InstanceID, Topic: cfg.Topic, ClientID: cfg.ClientID,
		SessionTimeout: cfg.SessionTimeout, RebalanceTimeout: cfg.RebalanceTimeout, HeartbeatInterval: cfg.HeartbeatInterval,
		DrainTimeout: cfg.DrainTimeout,
		DrainContext: func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), cfg.StopTimeout)
		},
		StopRest:         cfg.StopRest,
		MetadataInterval: cfg.MetadataMaxAge,
		RetryBackoff:     cfg.RetryBackoff, RetryBackoffMax: cfg.RetryBackoffMax,
		OnTopic: in.topic.set, OnRebalance: func(int32, string) { in.everJoined.Store(true); cfg.OnRebalance() },
		Logger: cfg.Logger,
	}, (*owner)(in))
	starting := "starting"
	in.waitingFor.Store(&starting)
	in.beat.Store(time.Now().UnixNano())
	return in
}

// Run consumes until ctx is done; then partitions are drained and committed and the group is left. It returns an error for what
// cannot heal, and for what was still missing when the startup timeout ended.
func (in *Intake) Run(ctx context.Context) error {
	err := in.start(ctx)
	switch {
	case ctx.Err() != nil:
		return nil //nolint:nilerr // told to stop before anything had begun: why it could not begin does not matter
	case err != nil:
		return err
	}
	in.waiting("joining the group")
	in.beat.Store(time.Now().UnixNano())
	in.started.Store(true)
	// The committer outlives ctx: commits go on while the last attempts drain.
	loops, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	var background errgroup.Group
	background.Go(func() error { in.commitLoop(loops); return nil })
	background.Go(func() error { in.endsLoop(loops); return nil })
	err = in.member.Run(ctx)
	stopLoops()
	_ = background.Wait()
	in.readers.Wait()
	if err != nil {
		return fmt.Errorf("take part in group %q: %w", in.cfg.GroupID, err)
	}
	return nil
}

// start waits for broker, credentials, topic and start positions, with backoff, for as long as the startup timeout allows.
func (in *Intake) start(ctx context.Context) error {
	end := time.Now().Add(in.cfg.StartupTimeout)
	deadline, cancel := context.WithDeadlineCause(ctx, end, errNoAnswer)
	defer cancel()
	backoff := in.cfg.RetryBackoff
	var reason error
	for {
		err := in.prepare(deadline, reason == nil)
		if err == nil || errors.Is(err, errFinal) || ctx.Err() != nil {
			return err
		}
		// An attempt that the end of the time cut off says less than the one before it, and what does not change is said once: /startup
		// goes on saying it. By the clock, since a connection's own timer may be ahead of the context's.
		if reason == nil || time.Now().Before(end) {
			level := slog.LevelWarn
			if reason != nil && err.Error() == reason.Error() {
				level = slog.LevelDebug
			}
			reason = err
			in.waiting(err.Error())
			in.log.Log(ctx, level, "not ready to start, trying again", slog.Any("err", err))
		}
		if wait(deadline, backoff); deadline.Err() != nil {
			return fmt.Errorf("start within STARTUP_TIMEOUT (%s): %w", in.cfg.StartupTimeout, reason)
		}
		backoff = min(2*backoff, max(in.cfg.RetryBackoffMax, time.Second))
	}
}

// errNoAnswer is how an attempt to start ends that the end of the startup timeout cut off.
var errNoAnswer = errors.New("no answer until the time was up")

// errFinal marks what waiting does not mend.
var errFinal = errors.New("waiting does not help")

// prepare makes one attempt to start. first: nothing has failed yet, so that what is being done is all there is to say of what is waited for.
func (in *Intake) prepare(ctx context.Context, first bool) error {
	doing := func(what string) {
		if first {
			in.waiting(what)
		}
	}
	doing("waiting for an answer of " + strings.Join(in.cfg.Cluster.Bootstrap(), ", "))
	if err := in.cfg.Cluster.Check(ctx, in.cfg.Needs...); err != nil {
		return err
	}
	doing(fmt.Sprintf("looking up topic %q", in.cfg.Topic))
	if err := in.topic.refresh(ctx, time.Now()); err != nil {
		return err
	}
	in.brokerSeen()
	if in.cfg.Ready != nil {
		doing("waiting for credentials and the dead-letter target")
		if err := in.cfg.Ready(ctx); err != nil {
			return err
		}
	}
	doing(fmt.Sprintf("looking up the positions of group %q", in.cfg.GroupID))
	if err := in.fixEnds(ctx); err != nil {
		return err
	}
	return in.establish(ctx)
}

// identity names a partition's log as of the given topic.
func (in *Intake) identity(topic cluster.Topic, partition int32) ledger.Identity {
	return ledger.Identity{TopicID: topic.ID, Partition: partition, Lanes: in.cfg.LaneScheme}
}

func (in *Intake) waiting(reason string) { in.waitingFor.Store(&reason) }

// EverJoined says whether the group has been joined since the start.
func (in *Intake) EverJoined() bool {
	if in.member.Joined() {
		in.everJoined.Store(true)
	}
	return in.everJoined.Load()
}

// Started says whether start-up is over and the loops run.
func (in *Intake) Started() bool { return in.started.Load() }

// WaitingFor says in words what start-up is waiting for; empty once the group was joined.
func (in *Intake) WaitingFor() string {
	if in.member.Joined() {
		return ""
	}
	return *in.waitingFor.Load()
}

// MayStart is the lease: whether an attempt may begin now.
func (in *Intake) MayStart(now time.Time) bool { return in.member.MayStart(now) }

// Joined says whether the process is a member of the group at present.
func (in *Intake) Joined() bool { return in.member.Joined() }

// LastSeen is when a broker or the coordinator last answered.
func (in *Intake) LastSeen() time.Time {
	seen := time.Unix(0, in.seen.Load())
	if heard := in.member.LastHeard(); heard.After(seen) {
		return heard
	}
	return seen
}

// Progress is when the intake's loops last turned, whatever Kafka does.
func (in *Intake) Progress() time.Time {
	beat := time.Unix(0, in.beat.Load())
	if p := in.member.Progress(); !p.IsZero() && p.Before(beat) {
		return p
	}
	return beat
}

func (in *Intake) brokerSeen() { in.seen.Store(time.Now().UnixNano()) }

func (in *Intake) refreshTopic(ctx context.Context) error {
	return in.topic.refresh(ctx, in.topic.looked())
}

// ends asks for the log start and the high watermark of one partition.
func (in *Intake) ends(ctx context.Context, partition int32) (start, high int64, err error) {
	topic := in.topic.current()
	ends := [2]int64{}
	for i, ts := range []int64{earliest, latest} {
		got, err := in.cfg.Cluster.ListOffsets(ctx, topic, map[int32]int64{partition: ts}, false)
		if err == nil {
			err = got[partition].Err
		}
		if err != nil {
			return 0, 0, fmt.Errorf("list offsets of partition %d: %w", partition, err)
		}
		ends[i] = got[partition].Offset
	}
	return ends[0], ends[1], nil
}

// endsInterval is how old the known end of a partition may grow while it is not fetched (at a bound, or paused): its lag goes on
// growing meanwhile and must be seen to.
const endsInterval = 10 * time.Second

// endsLoop keeps the ends of the partitions fresh that no fetch keeps fresh.
func (in *Intake) endsLoop(ctx context.Context) {
	tick := time.NewTicker(endsInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		stale := in.delivery.Stale(endsInterval)
		if len(stale) == 0 {
			continue
		}
		ask := make(map[int32]int64, len(stale))
		for _, id := range stale {
			ask[id] = latest
		}
		topic := in.topic.current()
		high, err := in.cfg.Cluster.ListOffsets(ctx, topic, ask, false)
		if err != nil {
			in.log.DebugContext(ctx, "the ends of waiting partitions are not known", slog.Any("err", err))
			continue
		}
		stable, err := in.cfg.Cluster.ListOffsets(ctx, topic, ask, true)
		if err != nil {
			continue
		}
		for id, h := range high {
			if s := stable[id]; h.Err == nil && s.Err == nil {
				in.delivery.Ends(id, Ends{High: h.Offset, Stable: s.Offset})
			}
		}
	}
}
