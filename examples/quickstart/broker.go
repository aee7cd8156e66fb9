package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// broker is the Kafka of the quickstart and a producer for it.
type broker struct {
	kind, bootstrap, topic string

	client *kgo.Client
	stop   func()
}

// startBroker embeds a broker, or takes the one that the environment names.
func startBroker(ctx context.Context, real bool) (*broker, error) {
	b := &broker{kind: "embedded broker", topic: fmt.Sprintf("quickstart-orders-%d", time.Now().Unix()), stop: func() {}}
	if real {
		b.kind, b.bootstrap = "your broker", os.Getenv("KAFKA_BOOTSTRAP_SERVERS")
		if b.bootstrap == "" {
			return nil, errors.New("set KAFKA_BOOTSTRAP_SERVERS to use --real")
		}
	} else {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			return nil, fmt.Errorf("start the embedded broker: %w", err)
		}
		b.stop, b.bootstrap = cluster.Close, strings.Join(cluster.ListenAddrs(), ",")
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(b.bootstrap, ",")...), kgo.DefaultProduceTopic(b.topic))
	if err != nil {
		b.stop()
		return nil, fmt.Errorf("make a producer: %w", err)
	}
	b.client = client
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 4, -1, nil, b.topic); err != nil {
		b.close()
		return nil, fmt.Errorf("create topic %s: %w", b.topic, err)
	}
	return b, nil
}

// produce writes every order, the customers in turn.
func (b *broker) produce(ctx context.Context) error {
	var records []*kgo.Record
	for n := range orders {
		o := order{Customer: fmt.Sprintf("customer-%02d", n%customers), Number: n/customers + 1}
		value, err := json.Marshal(o)
		if err != nil {
			return fmt.Errorf("encode an order: %w", err)
		}
		records = append(records, &kgo.Record{Key: []byte(o.Customer), Value: value})
	}
	if err := b.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("produce orders: %w", err)
	}
	return nil
}

func (b *broker) close() {
	b.client.Close()
	b.stop()
}
