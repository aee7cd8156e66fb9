package group

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Replicas come, go, die, are cut off, drain slowly and meet faults of every kind, in a random order that the seed fixes as far as goroutines
// allow. Nothing may ever start at one while another has it, calls come in order (the world's book checks both all the time), and when the
// faults end everything is owned and balanced again.
func TestNoTwoOwnersWhateverHappens(t *testing.T) {
	seeds := 40
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inWorld(t, 7, func(t *testing.T, w *world) {
				w.tolerated = true
				c := &chaos{w: w, rand: rand.New(rand.NewPCG(uint64(seed), 7)), static: seed%3 == 2}
				for range 2 {
					c.start()
				}
				for range 80 {
					c.step()
					pass(time.Duration(c.rand.IntN(15000)) * time.Millisecond)
				}
				for _, f := range c.faults {
					f.Remove()
				}
				for _, r := range c.alive {
					r.wire.set(up)
				}
				if len(c.alive) == 0 {
					c.start()
				}
				c.bury()
				// kfake miscounts joins when a member goes while it waits for its SyncGroup, and from then on completes a rebalance by its
				// timer alone, which every join sets back. Joins that come together let it run out.
				for _, r := range c.alive {
					r.wire.cut()
				}
				w.until(5*time.Minute, "balanced", w.balanced(7, c.alive...))
				generation := w.kafka.GroupInfo(testGroup).Epoch
				pass(2 * time.Minute)
				if got := w.kafka.GroupInfo(testGroup); got.Epoch != generation || !w.balanced(7, c.alive...)() {
					t.Fatalf("not at rest: generation %d after %d, %v", got.Epoch, generation, w.book())
				}
			})
		})
	}
}

type chaos struct {
	w      *world
	rand   *rand.Rand
	static bool
	next   int
	spare  []string // instance ids whose process has died
	alive  []*replica
	faults []*kfake.FaultHandle
}

func (c *chaos) start() {
	name := fmt.Sprint("r", c.next)
	c.next++
	instance := ""
	if c.static {
		instance = name
		if n := len(c.spare); n > 0 {
			instance, c.spare = c.spare[n-1], c.spare[:n-1]
		}
	}
	drain := time.Duration(c.rand.IntN(30)) * time.Second
	r := c.w.prepare(name, func(cfg *Config) { cfg.InstanceID = instance })
	r.drain = func(ctx context.Context) {
		pause(ctx, drain)
		_, _ = r.member.Commit(context.WithoutCancel(ctx), []Offset{{Partition: 0, Offset: 1}})
	}
	r.run()
	c.alive = append(c.alive, r)
}

// bury removes members whose process died while it joined. A broker does so when their session ends; kfake begins that session only with the
// answer to the join, which nobody was there to get.
func (c *chaos) bury() {
	pass(config().SessionTimeout + time.Second)
	client, err := kgo.NewClient(kgo.SeedBrokers("localhost:9092"), kgo.Dialer(c.w.net.DialContext))
	if err != nil {
		c.w.t.Fatal(err)
	}
	defer client.Close()
	for _, m := range c.w.kafka.GroupInfo(testGroup).Members {
		if !slices.ContainsFunc(c.alive, func(r *replica) bool { return r.name == m.ClientID }) {
			q := kmsg.NewPtrLeaveGroupRequest()
			q.Group = testGroup
			q.Members = []kmsg.LeaveGroupRequestMember{{MemberID: m.MemberID}}
			if _, err := q.RequestWith(context.Background(), client); err != nil {
				c.w.t.Fatal(err)
			}
		}
	}
}

func (c *chaos) take() *replica {
	i := c.rand.IntN(len(c.alive))
	r := c.alive[i]
	c.alive = slices.Delete(c.alive, i, i+1)
	if id := r.member.cfg.InstanceID; id != "" {
		c.spare = append(c.spare, id)
	}
	return r
}

func (c *chaos) any() *replica { return c.alive[c.rand.IntN(len(c.alive))] }

func (c *chaos) step() {
	keys := []kmsg.Key{kmsg.Heartbeat, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.OffsetCommit, kmsg.FindCoordinator, kmsg.Metadata}
	key := keys[c.rand.IntN(len(keys))]
	switch n := c.rand.IntN(16); {
	case len(c.alive) == 0 || n < 3 && len(c.alive) < 5:
		c.start()
	case n < 5 && len(c.alive) > 1:
		r := c.take()
		if c.static {
			r.stop() // so that the id is free when it is taken again
			break
		}
		r.stops()
	case n == 5 && len(c.alive) > 1:
		c.take().kill()
	case n == 6:
		c.any().wire.cut()
	case n == 7:
		c.any().wire.set(hole)
	case n == 8:
		c.any().wire.set(dead)
	case n < 12:
		for _, r := range c.alive {
			r.wire.set(up)
		}
	case n == 12:
		c.w.kafka.RehashCoordinators()
	case n == 13:
		c.w.hangUp(key, 1+c.rand.IntN(3))
	case n == 14:
		c.w.swallow(key, 1)
	default:
		codes := []*kerr.Error{kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.RebalanceInProgress, kerr.UnknownServerError}
		if key == kmsg.FindCoordinator || key == kmsg.Metadata || key == kmsg.OffsetCommit {
			break
		}
		c.faults = append(c.faults, c.w.refuse(key, codes[c.rand.IntN(len(codes))], 1+c.rand.IntN(4)))
	}
	synctest.Wait()
}
