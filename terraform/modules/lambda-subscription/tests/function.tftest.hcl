# The function, its mapping, its role and its alarms.
mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/kafka-sidecar/orders-to-billing" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mocked" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:orders-to-billing" }
  }
}

variables {
  name = "orders-to-billing"
  subscription = {
    source = "kafka://my-cluster/orders"
    sink   = "https://billing.example.com/orders"
  }
  kafka   = { msk_cluster_arn = "arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1", auth = "iam" }
  package = { s3_bucket = "releases", s3_key = "kafka-sidecar.zip" }
}

run "smallest" {
  command = plan

  assert {
    condition     = aws_lambda_function.this.environment[0].variables == tomap({ SUBSCRIPTION_ID = "orders-to-billing", SUBSCRIPTION_SOURCE = "kafka://my-cluster/orders", SUBSCRIPTION_SINK = "https://billing.example.com/orders", LAMBDA_PARTIAL_BATCH = "true" })
    error_message = "What nobody asked for is rendered."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.this.function_response_types == toset(["ReportBatchItemFailures"])
    error_message = "The mapping takes a partial failure for success."
  }

  assert {
    condition     = length(aws_lambda_event_source_mapping.this.destination_config) == 0
    error_message = "Records are given up after ten tries."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.this.provisioned_poller_config[0].minimum_pollers == 1 && aws_lambda_event_source_mapping.this.amazon_managed_kafka_event_source_config[0].consumer_group_id == "orders-to-billing" && aws_lambda_event_source_mapping.this.topics == toset(["orders"]) && aws_lambda_event_source_mapping.this.starting_position == "LATEST"
    error_message = "The mapping is another one."
  }

  assert {
    condition     = aws_lambda_function.this.runtime == "provided.al2023" && aws_lambda_function.this.architectures == tolist(["arm64"]) && aws_cloudwatch_log_group.this.retention_in_days == 30
    error_message = "The function is another one."
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 0
    error_message = "There is an alarm that nobody asked for."
  }
}

run "reading_with_iam" {
  command = apply

  variables {
    dead_letter       = { topic = "orders-dead" }
    bootstrap_servers = "b-1.main.x.c1.kafka.eu-central-1.amazonaws.com:9098"
  }

  assert {
    condition = { for s in data.aws_iam_policy_document.this.statement : s.sid => s.resources if s.sid != "Interfaces" } == {
      Logs        = toset(["arn:aws:logs:eu-central-1:123456789012:log-group:/kafka-sidecar/orders-to-billing:*"])
      Brokers     = toset(["arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1"])
      Cluster     = toset(["arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1"])
      Topic       = toset(["arn:aws:kafka:eu-central-1:123456789012:topic/main/0f0f-1/orders"])
      Group       = toset(["arn:aws:kafka:eu-central-1:123456789012:group/main/0f0f-1/orders-to-billing"])
      DeadLetters = toset(["arn:aws:kafka:eu-central-1:123456789012:topic/main/0f0f-1/orders-dead"])
    }
    error_message = "The role may do other things."
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables["KAFKA_OPTION_SASL_MECHANISM"] == "AWS_MSK_IAM"
    error_message = "Dead letters are written without IAM."
  }
}

run "any_other_kafka" {
  command = apply

  variables {
    kafka             = { auth = "SASL_SCRAM_512_AUTH", secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf", subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    bootstrap_servers = "broker:9096"
  }

  assert {
    condition     = aws_lambda_event_source_mapping.this.self_managed_event_source[0].endpoints == tomap({ KAFKA_BOOTSTRAP_SERVERS = "broker:9096" }) && aws_lambda_event_source_mapping.this.self_managed_kafka_event_source_config[0].consumer_group_id == "orders-to-billing"
    error_message = "The mapping reads elsewhere."
  }

  assert {
    condition     = toset([for s in aws_lambda_event_source_mapping.this.source_access_configuration : "${s.type} ${s.uri}"]) == toset(["SASL_SCRAM_512_AUTH arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf", "VPC_SUBNET subnet:subnet-1", "VPC_SECURITY_GROUP security_group:sg-1"])
    error_message = "The mapping reads by another way."
  }

  assert {
    condition     = one([for s in data.aws_iam_policy_document.this.statement : s.resources if s.sid == "Secrets"]) == toset(["arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf"])
    error_message = "The role may read other secrets."
  }

  assert {
    condition     = !contains(output.environment, "KAFKA_BOOTSTRAP_SERVERS")
    error_message = "The function gets brokers that it does not need."
  }
}

run "start_at_a_time" {
  command = plan

  variables {
    start_at = "2027-01-01T00:00:00Z"
  }

  assert {
    condition     = aws_lambda_event_source_mapping.this.starting_position == "AT_TIMESTAMP" && aws_lambda_event_source_mapping.this.starting_position_timestamp == "2027-01-01T00:00:00Z" && !contains(output.environment, "START_AT")
    error_message = "The mapping starts elsewhere."
  }
}

run "image" {
  command = plan

  variables {
    package = { image_uri = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/kafka-sidecar:1" }
  }

  assert {
    condition     = aws_lambda_function.this.package_type == "Image" && aws_lambda_function.this.runtime == null
    error_message = "The package is another one."
  }
}

run "alarms" {
  command = plan

  variables {
    alarms = { actions = [], lag = 1000, age_seconds = 3600, dead_letters = 0 }
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.this)) == toset(["lag", "age", "dead-letters", "no-poller"]) && aws_cloudwatch_metric_alarm.this["no-poller"].treat_missing_data == "breaching"
    error_message = "The alarms are others."
  }

  assert {
    condition     = contains(output.environment, "METRICS_EMF")
    error_message = "The metric of the alarm is not written."
  }
}

run "a_function_as_sink" {
  command = apply

  variables {
    subscription = { source = "kafka://my-cluster/orders", sink = "lambda://billing:live" }
  }

  assert {
    condition     = one([for s in data.aws_iam_policy_document.this.statement : s.resources if s.sid == "Sink"]) == toset(["arn:aws:lambda:eu-central-1:123456789012:function:billing:live"])
    error_message = "The function may invoke another one."
  }
}
