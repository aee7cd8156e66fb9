package terraform

import "testing"

const mskCluster = "arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1"

// functionsToApply are the functions of the apply.
var functionsToApply = object{
	"orders-function": object{
		"subscription": object{"source": "kafka://my-cluster/orders", "sink": "https://billing.example.com/orders"},
		"kafka":        object{"msk_cluster_arn": mskCluster, "auth": "iam"},
		"start_at":     "earliest",
	},
}

// renderedFunctions are functions whose environments the binary has to take.
var renderedFunctions = object{
	"function": object{
		"subscription": object{"source": "kafka://my-cluster/orders", "sink": "https://billing.example.com/orders"},
		"kafka":        object{"msk_cluster_arn": mskCluster, "auth": "iam"},
		"start_at":     "earliest",
		"alarms":       object{"actions": []string{}, "lag": 1000, "age_seconds": 3600, "dead_letters": 0},
	},
	"function-with-dead-letters": object{
		"subscription":      object{"source": "kafka://my-cluster/orders", "sink": "https://billing.example.com/orders"},
		"kafka":             object{"msk_cluster_arn": mskCluster, "auth": "iam"},
		"bootstrap_servers": "broker-1.example.com:9098",
		"dead_letter":       object{"topic": "orders-dead"},
		"handler":           object{"auth": "sigv4", "sigv4_region": "eu-central-1", "sigv4_service": "execute-api"},
	},
}

// checkFunctionCalls looks at what of a function and its mapping bears on losing records.
func checkFunctionCalls(t *testing.T, calls map[string][]object) {
	t.Helper()
	if variables := at(calls["CreateFunction"][0], "Environment", "Variables"); at(variables, "LAMBDA_PARTIAL_BATCH") != "true" {
		t.Errorf("CreateFunction sends the variables %v", variables)
	}
	mapping := calls["CreateEventSourceMapping"][0]
	for _, want := range []struct {
		path  []any
		value any
	}{
		{[]any{"FunctionResponseTypes", 0}, "ReportBatchItemFailures"},
		{[]any{"DestinationConfig"}, nil},
		{[]any{"ProvisionedPollerConfig", "MinimumPollers"}, 1.0},
		{[]any{"AmazonManagedKafkaEventSourceConfig", "ConsumerGroupId"}, "orders-function"},
		{[]any{"Topics", 0}, "orders"},
		{[]any{"StartingPosition"}, "TRIM_HORIZON"},
		{[]any{"EventSourceArn"}, mskCluster},
	} {
		if got := at(mapping, want.path...); got != want.value {
			t.Errorf("CreateEventSourceMapping sends %v as %v, want %v", got, want.path, want.value)
		}
	}
}
