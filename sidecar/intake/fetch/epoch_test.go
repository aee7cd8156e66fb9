package fetch

import (
	"bytes"
	"errors"
	"testing"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

func TestEpochRequestIsEncodedAsKafkaDefinesIt(t *testing.T) {
	want := kmsg.NewPtrOffsetForLeaderEpochRequest()
	want.Version, want.ReplicaID = epochVersion, -1
	want.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: "orders", Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{
		{Partition: 7, CurrentLeaderEpoch: 5, LeaderEpoch: 3},
	}}}
	if got := encodeEpoch("orders", 7, 5, 3); !bytes.Equal(got, want.AppendTo(nil)) {
		t.Errorf("\n got %x\nwant %x", got, want.AppendTo(nil))
	}
}

func TestEpochAnswerSaysWhatTheBrokerSaid(t *testing.T) {
	answer := func(topic string, p kmsg.OffsetForLeaderEpochResponseTopicPartition) []byte {
		r := kmsg.NewPtrOffsetForLeaderEpochResponse()
		r.Version = epochVersion
		other := kmsg.OffsetForLeaderEpochResponseTopicPartition{Partition: 6, ErrorCode: 3, LeaderEpoch: 9, EndOffset: 9}
		r.Topics = []kmsg.OffsetForLeaderEpochResponseTopic{{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochResponseTopicPartition{other, p}}}
		return r.AppendTo(nil)
	}
	good := answer("orders", kmsg.OffsetForLeaderEpochResponseTopicPartition{Partition: 7, LeaderEpoch: 2, EndOffset: 1 << 40})
	if end, err := decodeEpoch(good, "orders", 7); err != nil || end != (EpochEnd{Epoch: 2, Offset: 1 << 40}) {
		t.Errorf("%+v %v", end, err)
	}
	if _, err := decodeEpoch(answer("orders", kmsg.OffsetForLeaderEpochResponseTopicPartition{Partition: 7, ErrorCode: 74}), "orders", 7); !errors.Is(err, kafka.FencedLeaderEpoch) {
		t.Error(err)
	}
	for n := range good {
		if _, err := decodeEpoch(good[:n], "orders", 7); !errors.Is(err, cluster.ErrMalformed) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := decodeEpoch(good, "payments", 7); !errors.Is(err, cluster.ErrMalformed) {
		t.Error(err)
	}
}
