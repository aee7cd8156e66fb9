package restate

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
)

// Subscription is one of Restate's own Kafka subscriptions, as GET {admin}/subscriptions tells of it.
type Subscription struct {
	ID      string            `json:"id"`
	Source  string            `json:"source"`
	Sink    string            `json:"sink"`
	Options map[string]string `json:"options"` // librdkafka's, secrets as ***
}

// Subscriptions lists the subscriptions, sorted by id.
func (c *Client) Subscriptions(ctx context.Context) ([]Subscription, error) {
	var all struct {
		Subscriptions []Subscription `json:"subscriptions"`
	}
	if err := c.want(ctx, "/subscriptions", &all); err != nil {
		return nil, err
	}
	slices.SortFunc(all.Subscriptions, func(a, b Subscription) int { return cmp.Compare(a.ID, b.ID) })
	return all.Subscriptions, nil
}

// Clusters gives the librdkafka options of every Kafka cluster by its name, secrets as ***. A Restate before 1.7 does not tell: nil.
func (c *Client) Clusters(ctx context.Context) (map[string]map[string]string, error) {
	var all struct {
		Clusters []struct {
			Name       string            `json:"name"`
			Properties map[string]string `json:"properties"`
		} `json:"clusters"`
	}
	switch status, err := c.get(ctx, "/kafka-clusters", &all); {
	case err != nil:
		return nil, err
	case status == http.StatusNotFound:
		return nil, nil
	case status != http.StatusOK:
		return nil, answered(status)
	}
	clusters := map[string]map[string]string{}
	for _, one := range all.Clusters {
		clusters[one.Name] = maps.Clone(one.Properties)
	}
	return clusters, nil
}

// Ingress is the URL under which the server says that its ingress is found; empty where it does not say.
func (c *Client) Ingress(ctx context.Context) (string, error) {
	var version struct {
		Ingress string `json:"ingress_endpoint"`
	}
	err := c.want(ctx, "/version", &version)
	return version.Ingress, err
}

// want asks once and takes nothing but 200.
func (c *Client) want(ctx context.Context, path string, into any) error {
	status, err := c.get(ctx, path, into)
	if err == nil && status != http.StatusOK {
		err = answered(status)
	}
	return err
}
