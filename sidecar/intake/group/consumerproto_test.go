package group

import (
	"bytes"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestMembershipIsReadableForKafkaTools(t *testing.T) {
	s := subscription{topic: "orders", owned: []int32{3, 1}, generation: 7, leaving: true}
	var theirs kmsg.ConsumerMemberMetadata
	if err := theirs.ReadFrom(s.encode()); err != nil {
		t.Fatal(err)
	}
	if theirs.Version != 1 || !slices.Equal(theirs.Topics, []string{"orders"}) || len(theirs.OwnedPartitions) != 1 ||
		theirs.OwnedPartitions[0].Topic != "orders" || !slices.Equal(theirs.OwnedPartitions[0].Partitions, []int32{3, 1}) {
		t.Fatalf("%+v", theirs)
	}
	back, subscribed, err := decodeSubscription(s.encode(), "orders")
	if err != nil || !subscribed || !slices.Equal(back.owned, s.owned) || back.generation != 7 || !back.leaving {
		t.Fatalf("%+v %v %v", back, subscribed, err)
	}

	a := assignment{partitions: []int32{0, 2}, basis: basis{known: true, topic: "orders", topicID: [16]byte{1, 2}, partitions: 3, withheld: 1}}
	var assigned kmsg.ConsumerMemberAssignment
	if err := assigned.ReadFrom(a.encode("orders")); err != nil {
		t.Fatal(err)
	}
	if len(assigned.Topics) != 1 || assigned.Topics[0].Topic != "orders" || !slices.Equal(assigned.Topics[0].Partitions, []int32{0, 2}) {
		t.Fatalf("%+v", assigned)
	}
	got, err := decodeAssignment(a.encode("orders"), "orders")
	if err != nil || !slices.Equal(got.partitions, a.partitions) || got.basis != a.basis {
		t.Fatalf("%+v %v", got, err)
	}
	if got, err := decodeAssignment(nil, "orders"); err != nil || len(got.partitions) != 0 || got.basis.known {
		t.Fatalf("%+v %v", got, err)
	}
}

func TestForeignSubscriptionsOfEveryVersionAreRead(t *testing.T) {
	for version := int16(0); version <= 3; version++ {
		theirs := kmsg.ConsumerMemberMetadata{Version: version, Topics: []string{"a", "b"}, Generation: 9, UserData: []byte("not ours"),
			OwnedPartitions: []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: "a", Partitions: []int32{1}}, {Topic: "b", Partitions: []int32{2, 3}}}}
		s, subscribed, err := decodeSubscription(theirs.AppendTo(nil), "b")
		if err != nil || !subscribed {
			t.Fatalf("v%d: %+v %v", version, s, err)
		}
		if want := []int32{2, 3}; version >= 1 && !slices.Equal(s.owned, want) {
			t.Fatalf("v%d: %v", version, s.owned)
		}
		if _, subscribed, _ := decodeSubscription(theirs.AppendTo(nil), "c"); subscribed {
			t.Fatal("not subscribed to c")
		}
	}
}

func FuzzSubscription(f *testing.F) {
	f.Add(subscription{topic: "orders", owned: []int32{1, 2}, generation: 3}.encode())
	f.Add([]byte{0, 1, 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, _, err := decodeSubscription(b, "orders")
		if err != nil && (len(s.owned) != 0 || s.generation != -1 || s.leaving) {
			t.Fatalf("an error, and still %+v", s)
		}
		if err == nil && len(s.owned) < 1000 {
			if again, _, err := decodeSubscription(s.encode(), "orders"); err != nil || !slices.Equal(again.owned, s.owned) || again.generation != s.generation {
				t.Fatalf("%+v became %+v (%v)", s, again, err)
			}
		}
	})
}

func FuzzAssignment(f *testing.F) {
	f.Add(assignment{partitions: []int32{1}, basis: basis{known: true, topic: "orders"}}.encode("orders"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeAssignment(b, "orders")
		if err != nil && len(a.partitions) != 0 {
			t.Fatalf("an error, and still %+v", a)
		}
	})
}

// Every request and answer against an independent implementation of Kafka's schemas.
func TestWireMatchesTheSchemas(t *testing.T) {
	id := identity{member: "m-1", generation: 5}
	join := kmsg.NewPtrJoinGroupRequest()
	join.SetVersion(joinVersion)
	read(t, join, joinRequest{group: "g", member: "m-1", instance: "i", sessionMs: 45000, rebalanceMs: 60000, metadata: []byte("meta")}.encode())
	if join.Group != "g" || join.MemberID != "m-1" || *join.InstanceID != "i" || join.SessionTimeoutMillis != 45000 || join.RebalanceTimeoutMillis != 60000 ||
		join.ProtocolType != "consumer" || join.Protocols[0].Name != "kafka-sidecar" || string(join.Protocols[0].Metadata) != "meta" {
		t.Errorf("%+v", join)
	}
	joinR := join.ResponseKind().(*kmsg.JoinGroupResponse)
	joinR.ThrottleMillis, joinR.ErrorCode, joinR.Generation, joinR.LeaderID, joinR.MemberID, joinR.Protocol = 9, 27, 6, "l", "m-1", kmsg.StringPtr("p")
	joinR.Members = []kmsg.JoinGroupResponseMember{{MemberID: "x", InstanceID: kmsg.StringPtr("ix"), ProtocolMetadata: []byte("mx")}, {MemberID: "y"}}
	if got, err := decodeJoin(joinR.AppendTo(nil)); err != nil || got.code != 27 || got.generation != 6 || got.leader != "l" || got.member != "m-1" || len(got.members) != 2 ||
		got.members[0].id != "x" || got.members[0].instance != "ix" || string(got.members[0].metadata) != "mx" || got.members[1].instance != "" {
		t.Errorf("%+v %v", got, err)
	}

	sync := kmsg.NewPtrSyncGroupRequest()
	sync.SetVersion(syncVersion)
	read(t, sync, encodeSync("g", "i", id, map[string][]byte{"x": []byte("ax")}))
	if sync.Group != "g" || sync.Generation != 5 || sync.MemberID != "m-1" || *sync.InstanceID != "i" || sync.GroupAssignment[0].MemberID != "x" || string(sync.GroupAssignment[0].MemberAssignment) != "ax" {
		t.Errorf("%+v", sync)
	}
	syncR := sync.ResponseKind().(*kmsg.SyncGroupResponse)
	syncR.ThrottleMillis, syncR.ErrorCode, syncR.MemberAssignment = 9, 22, []byte("a")
	if code, a, err := decodeSync(syncR.AppendTo(nil)); err != nil || code != 22 || string(a) != "a" {
		t.Errorf("%d %q %v", code, a, err)
	}

	beat := kmsg.NewPtrHeartbeatRequest()
	beat.SetVersion(heartbeatVersion)
	read(t, beat, encodeMembership("g", "", id))
	if beat.Group != "g" || beat.Generation != 5 || beat.MemberID != "m-1" || beat.InstanceID != nil {
		t.Errorf("%+v", beat)
	}
	beatR := beat.ResponseKind().(*kmsg.HeartbeatResponse)
	beatR.ThrottleMillis, beatR.ErrorCode = 7, 27
	if code, err := decodeHeartbeat(beatR.AppendTo(nil)); err != nil || code != 27 {
		t.Errorf("%d %v", code, err)
	}

	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.SetVersion(leaveVersion)
	read(t, leave, encodeLeave("g", "m-1"))
	if leave.Group != "g" || leave.Members[0].MemberID != "m-1" || leave.Members[0].InstanceID != nil {
		t.Errorf("%+v", leave)
	}
	leaveR := leave.ResponseKind().(*kmsg.LeaveGroupResponse)
	leaveR.ThrottleMillis, leaveR.Members = 7, []kmsg.LeaveGroupResponseMember{{MemberID: "m-1", ErrorCode: 25}}
	if code, err := decodeLeave(leaveR.AppendTo(nil)); err != nil || code != 25 {
		t.Errorf("%d %v", code, err)
	}

	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.SetVersion(commitVersion)
	read(t, commit, encodeCommit("g", "i", "t", id, []Offset{{Partition: 3, Offset: 42, LeaderEpoch: 8, Metadata: "map"}}))
	if p := commit.Topics[0].Partitions[0]; commit.Topics[0].Topic != "t" || p.Partition != 3 || p.Offset != 42 || p.LeaderEpoch != 8 || *p.Metadata != "map" ||
		commit.Generation != 5 || commit.MemberID != "m-1" || *commit.InstanceID != "i" {
		t.Errorf("%+v", commit)
	}
	commitR := commit.ResponseKind().(*kmsg.OffsetCommitResponse)
	commitR.Topics = []kmsg.OffsetCommitResponseTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitResponseTopicPartition{{Partition: 3, ErrorCode: 12}}}}
	if codes, err := decodeCommit(commitR.AppendTo(nil), "t"); err != nil || len(codes) != 1 || codes[3] != 12 {
		t.Errorf("%v %v", codes, err)
	}

	fetch := kmsg.NewPtrOffsetFetchRequest()
	fetch.SetVersion(offsetsVersion)
	read(t, fetch, encodeOffsets("g", "t", []int32{1, 2}))
	if fetch.Group != "g" || fetch.Topics[0].Topic != "t" || !slices.Equal(fetch.Topics[0].Partitions, []int32{1, 2}) {
		t.Errorf("%+v", fetch)
	}
	fetchR := fetch.ResponseKind().(*kmsg.OffsetFetchResponse)
	fetchR.Topics = []kmsg.OffsetFetchResponseTopic{{Topic: "t", Partitions: []kmsg.OffsetFetchResponseTopicPartition{
		{Partition: 1, Offset: 10, LeaderEpoch: 2, Metadata: kmsg.StringPtr("m")}, {Partition: 2, Offset: -1, LeaderEpoch: -1}}}}
	if got, err := decodeOffsets(fetchR.AppendTo(nil), "t"); err != nil || got[1] != (Committed{10, 2, "m"}) || got[2] != (Committed{-1, -1, ""}) {
		t.Errorf("%v %v", got, err)
	}
	fetchR.Topics[0].Partitions[1].ErrorCode = 14
	if got, err := decodeOffsets(fetchR.AppendTo(nil), "t"); codeOf(err) != 14 {
		t.Errorf("%v %v", got, err)
	}
	fetchR.Topics, fetchR.ErrorCode = nil, 16
	if got, err := decodeOffsets(fetchR.AppendTo(nil), "t"); codeOf(err) != 16 {
		t.Errorf("%v %v", got, err)
	}
}

// read decodes what we have encoded, and requires that encoding it again gives the same bytes: nothing missing, nothing left over.
func read(t *testing.T, m kmsg.Request, b []byte) {
	t.Helper()
	if err := m.ReadFrom(b); err != nil {
		t.Fatalf("%T: %v", m, err)
	}
	if again := m.AppendTo(nil); !bytes.Equal(again, b) {
		t.Fatalf("%T: %x became %x", m, b, again)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodeJoin(b)
		_, _, _ = decodeSync(b)
		_, _ = decodeHeartbeat(b)
		_, _ = decodeLeave(b)
		_, _ = decodeCommit(b, "t")
		_, _ = decodeOffsets(b, "t")
	})
}
