package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"

	kafka "github.com/segmentio/kafka-go"
)

// heals is every error code that goes away without a person doing something, and why it does
// (https://kafka.apache.org/protocol#protocol_error_codes). A code that is not here does not.
var heals = map[kafka.Error]string{
	kafka.Unknown:                      "the broker does not know either what happened; only another try tells",
	kafka.InvalidMessage:               "bytes broke on the way or on one replica's disk",
	kafka.UnknownTopicOrPartition:      "metadata spreads between brokers after a topic is made or a leader moves",
	kafka.LeaderNotAvailable:           "an election is under way",
	kafka.NotLeaderForPartition:        "the leader moved; newer metadata names it",
	kafka.RequestTimedOut:              "the broker waited for others in vain this time",
	kafka.BrokerNotAvailable:           "the broker is starting or stopping",
	kafka.ReplicaNotAvailable:          "the replica is moving",
	kafka.NetworkException:             "a connection between brokers broke",
	kafka.GroupLoadInProgress:          "the coordinator is reading its offsets topic",
	kafka.GroupCoordinatorNotAvailable: "the group's coordinator is being elected, or the offsets topic is being made",
	kafka.NotCoordinatorForGroup:       "the coordinator moved; another lookup names it",
	kafka.NotEnoughReplicas:            "a replica is behind or restarting",
	kafka.NotEnoughReplicasAfterAppend: "a replica fell behind during the write",
	kafka.NotController:                "the controller moved",
	kafka.ConcurrentTransactions:       "the transaction before is still being ended",
	kafka.KafkaStorageError:            "a disk failed and another broker takes the partition over",
	kafka.FetchSessionIDNotFound:       "the session was thrown out; the next request begins a new one",
	kafka.InvalidFetchSessionEpoch:     "the next request begins a new session",
	kafka.ListenerNotFound:             "the leader is starting and has not told its addresses yet",
	kafka.FencedLeaderEpoch:            "our metadata is older than the broker's",
	kafka.UnknownLeaderEpoch:           "the broker's metadata is older than ours",
	kafka.StaleBrokerEpoch:             "the broker is registering anew",
	kafka.OffsetNotAvailable:           "a new leader does not know its high watermark yet",
	kafka.PreferredLeaderNotAvailable:  "the preferred leader is coming back",
	kafka.EligibleLeadersNotAvailable:  "the replicas that may lead are coming back",
	kafka.UnstableOffsetCommit:         "a transaction over these offsets is still open",
	kafka.ThrottlingQuotaExceeded:      "the quota fills again",
	kafka.UnknownTopicID:               "metadata spreads between brokers after a topic is made, or the topic was made anew: another lookup tells",
	kafka.InconsistentTopicID:          "the topic was made anew: another lookup tells",
	kafka.FetchSessionTopicIDError:     "the next request begins a new session",
	rebootstrapRequired:                "we know only brokers that left the cluster; every dial goes back to the bootstrap list",
}

// rebootstrapRequired (KIP-1102) is younger than kafka-go's list.
const rebootstrapRequired kafka.Error = 129

// Retriable says whether an error heals by itself, so that the same call may succeed later without anybody changing anything.
//
// A broker's code is looked up in a table with the reason per code. Errors of the network, an end of the connection and our own timeouts do
// heal. A cancelled caller, a certificate or a password that is refused, and an answer that is too large or makes no sense do not. An error that holds several,
// as DialAny's, heals when any of them does.
//
// Codes that ask a group member for something (rejoin on RebalanceInProgress, a new member id on UnknownMemberId) do not heal by repeating the
// same request and are therefore not retriable here: the group knows what to do about them.
func Retriable(err error) bool {
	var many interface{ Unwrap() []error }
	var code kafka.Error
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var network *net.OpError // net.Error would take any errno, a missing file's too
	var name *net.DNSError
	var self interface{ Heals() bool } // what knows of itself: a token endpoint's refusal
	switch {
	case err == nil:
		return false
	case errors.As(err, &many):
		for _, err := range many.Unwrap() {
			if Retriable(err) {
				return true
			}
		}
		return false
	case errors.Is(err, context.Canceled), errors.Is(err, ErrMalformed), errors.Is(err, ErrTooLarge):
		return false
	case errors.As(err, &code):
		_, ok := heals[code]
		return ok
	case errors.As(err, &self):
		return self.Heals()
	case errors.As(err, &certificate), errors.As(err, &record), isAlert(err):
		return false
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed), hungUp(err):
		return true
	}
	return errors.As(err, &network) || errors.As(err, &name)
}
