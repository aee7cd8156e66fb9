package fetch

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

var topicID = [16]byte{1, 2, 3, 15: 9}

func TestRequestIsEncodedAsKafkaDefinesIt(t *testing.T) {
	req := Request{
		Topic: "orders", TopicID: topicID, Partition: 7, Offset: 1 << 40, LeaderEpoch: 5, MaxWait: 1500 * time.Millisecond,
		MinBytes: 2, MaxBytes: 3 << 20, PartitionMaxBytes: 1 << 20, ReadCommitted: true, Rack: "zone-a",
	}
	for _, version := range []int16{versionByName, versionByID} {
		want := kmsg.NewPtrFetchRequest()
		want.Version = version
		want.ReplicaID = -1
		want.MaxWaitMillis, want.MinBytes, want.MaxBytes, want.IsolationLevel = 1500, 2, 3<<20, 1
		want.SessionID, want.SessionEpoch, want.Rack = 0, -1, "zone-a"
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic, topic.TopicID = "orders", topicID
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.CurrentLeaderEpoch, p.FetchOffset, p.LastFetchedEpoch, p.LogStartOffset, p.PartitionMaxBytes = 7, 5, 1<<40, -1, -1, 1<<20
		topic.Partitions = append(topic.Partitions, p)
		want.Topics = append(want.Topics, topic)
		if got := encode(req, version); !bytes.Equal(got, want.AppendTo(nil)) {
			t.Errorf("v%d:\n got %x\nwant %x", version, got, want.AppendTo(nil))
		}
	}
}

// reply is an answer for orders/7 of which change has the last word.
func reply(version int16, change func(*kmsg.FetchResponse, *kmsg.FetchResponseTopicPartition)) []byte {
	r := kmsg.NewPtrFetchResponse()
	r.Version = version
	r.ThrottleMillis = 250
	topic := kmsg.NewFetchResponseTopic()
	topic.Topic, topic.TopicID = "orders", topicID
	p := kmsg.NewFetchResponseTopicPartition()
	p.Partition, p.HighWatermark, p.LastStableOffset, p.LogStartOffset = 7, 100, 90, 10
	p.RecordBatches = []byte("batches")
	topic.Partitions = append(topic.Partitions, p)
	r.Topics = append(r.Topics, topic)
	if change != nil {
		change(r, &r.Topics[0].Partitions[0])
	}
	return r.AppendTo(nil)
}

func TestResponseSaysWhatTheBrokerSaid(t *testing.T) {
	full := Response{HighWatermark: 100, LastStable: 90, LogStart: 10, PreferredReplica: -1, Throttle: 250 * time.Millisecond, Records: []byte("batches")}
	for name, c := range map[string]struct {
		change func(*kmsg.FetchResponse, *kmsg.FetchResponseTopicPartition)
		want   func(*Response)
	}{
		"records": {nil, func(*Response) {}},
		"null records": {
			func(_ *kmsg.FetchResponse, p *kmsg.FetchResponseTopicPartition) { p.RecordBatches = nil },
			func(r *Response) { r.Records = nil }},
		"empty records": {
			func(_ *kmsg.FetchResponse, p *kmsg.FetchResponseTopicPartition) { p.RecordBatches = []byte{} },
			func(r *Response) { r.Records = []byte{} }},
		"aborted": {
			func(_ *kmsg.FetchResponse, p *kmsg.FetchResponseTopicPartition) {
				p.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 1, FirstOffset: 2}, {ProducerID: 3, FirstOffset: 4}}
			},
			func(r *Response) { r.Aborted = []Aborted{{1, 2}, {3, 4}} }},
		"another replica": {
			func(_ *kmsg.FetchResponse, p *kmsg.FetchResponseTopicPartition) { p.PreferredReadReplica = 2 },
			func(r *Response) { r.PreferredReplica = 2 }},
		"refused, with a hint at the leader": {
			func(_ *kmsg.FetchResponse, p *kmsg.FetchResponseTopicPartition) {
				p.ErrorCode, p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = 6, 3, 9
				p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset = 4, 5
			},
			func(r *Response) { r.Err = kafka.NotLeaderForPartition }},
		"refused as a whole": {
			func(r *kmsg.FetchResponse, _ *kmsg.FetchResponseTopicPartition) { r.ErrorCode, r.Topics = 106, nil },
			func(r *Response) {
				*r = Response{Err: kafka.FetchSessionTopicIDError, HighWatermark: -1, LastStable: -1, LogStart: -1, PreferredReplica: -1, Throttle: r.Throttle}
			}},
		"among others": {
			func(r *kmsg.FetchResponse, p *kmsg.FetchResponseTopicPartition) {
				other := kmsg.NewFetchResponseTopic()
				other.Topic, other.TopicID, other.Partitions = "other", [16]byte{8}, []kmsg.FetchResponseTopicPartition{*p}
				other.Partitions[0].ErrorCode = 1
				r.Topics = append(r.Topics, other)
			},
			func(*Response) {}},
	} {
		for _, version := range []int16{versionByName, versionByID} {
			want := full
			c.want(&want)
			got, err := decode(reply(version, c.change), Request{Topic: "orders", TopicID: topicID, Partition: 7}, version)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, v%d: %v\n got %+v\nwant %+v", name, version, err, got, want)
			}
		}
	}
}

func TestAnswersThatMakeNoSenseAreMalformed(t *testing.T) {
	req := Request{Topic: "orders", TopicID: topicID, Partition: 7}
	for _, version := range []int16{versionByName, versionByID} {
		whole := reply(version, nil)
		for cut := range whole {
			if _, err := decode(whole[:cut], req, version); !errors.Is(err, cluster.ErrMalformed) {
				t.Fatalf("v%d cut at %d: %v", version, cut, err)
			}
		}
		other := Request{Topic: "orders", TopicID: topicID, Partition: 8}
		if _, err := decode(whole, other, version); !errors.Is(err, cluster.ErrMalformed) {
			t.Errorf("v%d: another partition: %v", version, err)
		}
	}
}

func FuzzResponse(f *testing.F) {
	for _, version := range []int16{versionByName, versionByID} {
		f.Add(reply(version, nil), version == versionByID)
		f.Add(reply(version, func(_ *kmsg.FetchResponse, p *kmsg.FetchResponseTopicPartition) {
			p.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 1, FirstOffset: 2}}
		}), version == versionByID)
	}
	f.Fuzz(func(t *testing.T, body []byte, byID bool) {
		version := int16(versionByName)
		if byID {
			version = versionByID
		}
		resp, err := decode(body, Request{Topic: "orders", TopicID: topicID, Partition: 7}, version)
		if err == nil && (len(resp.Records) > len(body) || cap(resp.Aborted) > len(body)/16) {
			t.Fatalf("more than was sent: %d of %d bytes, %d aborted", len(resp.Records), len(body), cap(resp.Aborted))
		}
	})
}
