package group

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// count counts the requests of a kind that reach the coordinator.
func (w *world) count(api kmsg.Key) *int {
	n := new(int)
	w.kafka.ControlKey(int16(api), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.KeepControl()
		*n++
		return nil, nil, false
	})
	return n
}

// refused waits for the end of a replica that must not be in the group.
func (w *world) refused(r *replica) {
	w.t.Helper()
	w.until(20*time.Second, "the end of the member", func() bool {
		select {
		case <-r.done:
			return true
		default:
			return false
		}
	})
	if !errors.Is(r.err, kafka.InconsistentGroupProtocol) || !strings.Contains(r.err.Error(), "group.id of its own") {
		w.t.Errorf("ended with %v, want the plain words about groups of another kind", r.err)
	}
}

func TestGroupOfTheNewProtocolIsNotJoined(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		joins := w.count(kmsg.JoinGroup)
		w.kafka.ControlKey(int16(kmsg.ConsumerGroupDescribe), func(q kmsg.Request) (kmsg.Response, error, bool) {
			w.kafka.KeepControl()
			answer := q.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
			g := kmsg.NewConsumerGroupDescribeResponseGroup()
			g.Group, g.State = testGroup, "Stable"
			member := kmsg.NewConsumerGroupDescribeResponseGroupMember()
			member.MemberID, member.SubscribedTopics = "java", []string{testTopic}
			g.Members = append(g.Members, member)
			answer.Groups = append(answer.Groups, g)
			return answer, nil, true
		})
		w.refused(w.start("a"))
		if *joins != 0 {
			t.Errorf("%d joins reached a group whose members would have lost partitions by it", *joins)
		}
	})
}

func TestMemberThatTheNewProtocolTookInLeavesAgain(t *testing.T) {
	for _, instance := range []string{"", "one"} {
		inWorld(t, 4, func(t *testing.T, w *world) {
			leaves := w.count(kmsg.LeaveGroup)
			w.kafka.ControlKey(int16(kmsg.JoinGroup), func(q kmsg.Request) (kmsg.Response, error, bool) {
				w.kafka.KeepControl()
				answer := q.ResponseKind().(*kmsg.JoinGroupResponse)
				answer.Generation, answer.MemberID = 3, "member-3"
				protocol := protocolName
				answer.Protocol = &protocol
				return answer, nil, true
			})
			w.refused(w.start("a", func(c *Config) { c.InstanceID = instance }))
			if *leaves != 1 {
				t.Errorf("%d goodbyes to the group that took us in, want 1", *leaves)
			}
		})
	}
}
