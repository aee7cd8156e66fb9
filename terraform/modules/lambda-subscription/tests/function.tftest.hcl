# The function, its mapping, its role and its alarms.
mock_provider "aws" {
  source = "./tests/mocks"
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
    condition     = aws_lambda_function.this.runtime == "provided.al2023" && aws_lambda_function.this.architectures == tolist(["arm64"]) && aws_lambda_function.this.handler == "bootstrap" && aws_lambda_function.this.timeout == 300
    error_message = "The function is another one."
  }

  assert {
    condition     = aws_lambda_function.this.logging_config[0].log_group == "/kafka-sidecar/orders-to-billing" && aws_lambda_function.this.logging_config[0].log_format == "Text" && aws_cloudwatch_log_group.this.retention_in_days == 30
    error_message = "The function logs elsewhere, or in another form."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.this.provisioned_poller_config[0].maximum_pollers == 2 && aws_lambda_event_source_mapping.this.enabled && aws_lambda_event_source_mapping.this.batch_size == 100
    error_message = "The mapping costs more, or brings other batches."
  }

  assert {
    condition     = one(data.aws_iam_policy_document.assume.statement).actions == toset(["sts:AssumeRole"]) && one(one(data.aws_iam_policy_document.assume.statement).principals).identifiers == toset(["lambda.amazonaws.com"])
    error_message = "Others than Lambda may take the role."
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
    condition = { for s in data.aws_iam_policy_document.this.statement : s.sid => { actions = s.actions, resources = s.resources } } == {
      Logs        = { actions = toset(["logs:CreateLogStream", "logs:PutLogEvents"]), resources = toset(["arn:aws:logs:eu-central-1:123456789012:log-group:/kafka-sidecar/orders-to-billing:*"]) }
      Interfaces  = { actions = toset(["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"]), resources = toset(["*"]) }
      Brokers     = { actions = toset(["kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"]), resources = toset(["arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1"]) }
      Cluster     = { actions = toset(["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"]), resources = toset(["arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1"]) }
      Topic       = { actions = toset(["kafka-cluster:DescribeTopic", "kafka-cluster:DescribeTopicDynamicConfiguration", "kafka-cluster:ReadData"]), resources = toset(["arn:aws:kafka:eu-central-1:123456789012:topic/main/0f0f-1/orders"]) }
      Group       = { actions = toset(["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"]), resources = toset(["arn:aws:kafka:eu-central-1:123456789012:group/main/0f0f-1/orders-to-billing"]) }
      DeadLetters = { actions = toset(["kafka-cluster:DescribeTopic", "kafka-cluster:DescribeTopicDynamicConfiguration", "kafka-cluster:WriteData"]), resources = toset(["arn:aws:kafka:eu-central-1:123456789012:topic/main/0f0f-1/orders-dead"]) }
    }
    error_message = "The role may do other things."
  }

  assert {
    condition     = alltrue([for name, value in { KAFKA_OPTION_SECURITY_PROTOCOL = "sasl_ssl", KAFKA_OPTION_SASL_MECHANISM = "AWS_MSK_IAM", KAFKA_BOOTSTRAP_SERVERS = "b-1.main.x.c1.kafka.eu-central-1.amazonaws.com:9098" } : aws_lambda_function.this.environment[0].variables[name] == value])
    error_message = "Dead letters are written without IAM."
  }
}

run "reading_msk_with_a_secret" {
  command = apply

  variables {
    kafka                = { msk_cluster_arn = "arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1", auth = "SASL_SCRAM_512_AUTH", secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:AmazonMSK_main-AbCdEf" }
    secrets_kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/1"]
  }

  assert {
    condition = { for s in data.aws_iam_policy_document.this.statement : s.sid => { actions = s.actions, resources = s.resources } if !contains(["Logs", "Interfaces"], s.sid) } == {
      Brokers = { actions = toset(["kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers", "kafka:ListScramSecrets"]), resources = toset(["arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1"]) }
      Secrets = { actions = toset(["secretsmanager:GetSecretValue"]), resources = toset(["arn:aws:secretsmanager:eu-central-1:123456789012:secret:AmazonMSK_main-AbCdEf"]) }
      Keys    = { actions = toset(["kms:Decrypt"]), resources = toset(["arn:aws:kms:eu-central-1:123456789012:key/1"]) }
    }
    error_message = "The role may do other things."
  }
}

run "in_a_vpc" {
  command = apply

  variables {
    vpc = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  }

  assert {
    condition     = aws_lambda_function.this.vpc_config[0].subnet_ids == toset(["subnet-1"]) && aws_lambda_function.this.vpc_config[0].security_group_ids == toset(["sg-1"])
    error_message = "The function runs elsewhere."
  }

  assert {
    condition     = length(setsubtract(["ec2:CreateNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"], one([for s in data.aws_iam_policy_document.this.statement : s.actions if s.sid == "Interfaces"]))) == 0
    error_message = "The function cannot have an interface in the VPC."
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
    condition = { for s in data.aws_iam_policy_document.this.statement : s.sid => s.resources if s.sid != "Interfaces" } == {
      Logs    = toset(["arn:aws:logs:eu-central-1:123456789012:log-group:/kafka-sidecar/orders-to-billing:*"])
      Secrets = toset(["arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf"])
    }
    error_message = "The role may read other secrets, or a cluster of MSK."
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
  command = apply

  variables {
    alarms = { actions = ["arn:aws:sns:eu-central-1:123456789012:oncall"], lag = 1000, age_seconds = 3600, dead_letters = 0 }
  }

  assert {
    condition = { for kind, a in aws_cloudwatch_metric_alarm.this : kind => "${a.statistic} of ${a.namespace} ${a.metric_name} ${a.comparison_operator} ${a.threshold} in ${a.evaluation_periods} x ${a.period} s, else ${a.treat_missing_data}" } == {
      lag          = "Maximum of AWS/Lambda OffsetLag GreaterThanThreshold 1000 in 5 x 60 s, else ignore"
      age          = "Maximum of AWS/Kafka EstimatedMaxTimeLag GreaterThanThreshold 3600 in 5 x 60 s, else ignore"
      dead-letters = "Sum of KafkaSidecar DeadLetters GreaterThanThreshold 0 in 1 x 300 s, else notBreaching"
      no-poller    = "Maximum of AWS/Lambda ProvisionedPollers LessThanThreshold 1 in 5 x 60 s, else breaching"
    }
    error_message = "The alarms look at something else."
  }

  assert {
    condition = { for kind, a in aws_cloudwatch_metric_alarm.this : kind => a.dimensions } == {
      lag          = tomap({ FunctionName = "orders-to-billing" })
      age          = tomap({ "Cluster Name" = "main", "Consumer Group" = "orders-to-billing", Topic = "orders" })
      dead-letters = tomap({ Subscription = "orders-to-billing" })
      no-poller    = tomap({ EventSourceMappingUUID = aws_lambda_event_source_mapping.this.id })
    }
    error_message = "The alarms look at another function, group or mapping."
  }

  assert {
    condition     = alltrue([for a in aws_cloudwatch_metric_alarm.this : a.alarm_actions == toset(["arn:aws:sns:eu-central-1:123456789012:oncall"]) && a.ok_actions == a.alarm_actions])
    error_message = "Nobody is told."
  }

  assert {
    condition     = alltrue([for name, value in { METRICS_EMF = "true", METRICS_EMF_NAMESPACE = "KafkaSidecar" } : aws_lambda_function.this.environment[0].variables[name] == value])
    error_message = "The metric of the alarm is not written, or elsewhere."
  }
}

run "alarms_without_metrics_of_our_own" {
  command = plan

  variables {
    alarms = { actions = [], lag = 1000, no_poller = false }
  }

  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.this) == ["lag"] && !contains(output.environment, "METRICS_EMF")
    error_message = "There is an alarm, or a metric, that nobody asked for."
  }
}

run "stopped" {
  command = plan

  variables {
    enabled = false
    alarms  = { actions = [], lag = 1000 }
  }

  assert {
    condition     = aws_lambda_event_source_mapping.this.enabled == false && keys(aws_cloudwatch_metric_alarm.this) == ["lag"]
    error_message = "The mapping reads, or somebody is told that it does not."
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
