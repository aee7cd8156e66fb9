# Roles: what they may do, and nothing else.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name = "orders-to-billing"
  subscription = {
    source = "kafka://my-cluster/orders"
    sink   = "https://billing.example.com/orders"
  }
  bootstrap_servers = "broker-1.example.com:9092,broker-2.example.com:9092"
  image             = "registry.example.com/kafka-sidecar@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  cluster_arn       = "arn:aws:ecs:eu-central-1:123456789012:cluster/main"
  subnet_ids        = ["subnet-1"]
}

run "secrets_without_their_suffix" {
  command = apply

  variables {
    secrets = {
      KAFKA_OPTION_SASL_USERNAME = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf:username::"
      KAFKA_OPTION_SASL_PASSWORD = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf:password::"
      HANDLER_HEADERS            = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:headers-AbCdEf"
      HANDLER_TLS_KEY            = "arn:aws:ssm:eu-central-1:123456789012:parameter/billing/key"
    }
    secrets_kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/1"]
  }

  assert {
    condition = toset(one([for s in data.aws_iam_policy_document.execution.statement : s.resources if s.sid == "Secrets"])) == toset([
      "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf",
      "arn:aws:secretsmanager:eu-central-1:123456789012:secret:headers-AbCdEf",
    ])
    error_message = "The policy names other secrets."
  }
  assert {
    condition     = one([for s in data.aws_iam_policy_document.execution.statement : s.resources if s.sid == "Parameters"]) == toset(["arn:aws:ssm:eu-central-1:123456789012:parameter/billing/key"])
    error_message = "The policy names other parameters."
  }
  assert {
    condition     = one([for s in data.aws_iam_policy_document.execution.statement : s.resources if s.sid == "Keys"]) == toset(["arn:aws:kms:eu-central-1:123456789012:key/1"])
    error_message = "The policy names other keys."
  }
  assert {
    condition     = one([for s in data.aws_iam_policy_document.execution.statement : s.resources if s.sid == "Logs"]) == toset(["arn:aws:logs:eu-central-1:123456789012:log-group:/kafka-sidecar/orders-to-billing:*"])
    error_message = "The role writes other logs."
  }
  assert {
    condition     = { for s in data.aws_iam_policy_document.execution.statement : s.sid => s.actions if contains(["Secrets", "Parameters", "Keys"], s.sid) } == { Secrets = toset(["secretsmanager:GetSecretValue"]), Parameters = toset(["ssm:GetParameters"]), Keys = toset(["kms:Decrypt"]) }
    error_message = "Secrets can be read otherwise, or not at all."
  }
  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].secrets, { name = "KAFKA_OPTION_SASL_PASSWORD", valueFrom = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf:password::" })
    error_message = "The container does not get the field of the secret."
  }
}

run "no_secrets_no_right_to_any" {
  command = apply

  assert {
    condition = { for s in data.aws_iam_policy_document.execution.statement : s.sid => { actions = s.actions, resources = s.resources } } == {
      Logs  = { actions = toset(["logs:CreateLogStream", "logs:PutLogEvents"]), resources = toset(["arn:aws:logs:eu-central-1:123456789012:log-group:/kafka-sidecar/orders-to-billing:*"]) }
      Image = { actions = toset(["ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]), resources = toset(["*"]) }
    }
    error_message = "The role may do other things."
  }
  assert {
    condition = { for service, d in data.aws_iam_policy_document.assume : service => [for s in d.statement : { who = one(s.principals).identifiers, conditions = { for c in s.condition : c.variable => c.values } }] } == { for service in ["ecs-tasks", "scheduler"] :
      service => [{ who = toset(["${service}.amazonaws.com"]), conditions = { "aws:SourceAccount" = tolist(["123456789012"]) } }]
    }
    error_message = "Others may take the roles."
  }
  assert {
    condition     = length(data.aws_iam_policy_document.task) == 0
    error_message = "The task may do something."
  }
}

run "msk_with_iam" {
  command = apply

  variables {
    msk         = { cluster_arn = "arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1", iam = true }
    dead_letter = { topic = "orders-dead" }
  }

  assert {
    condition = { for s in data.aws_iam_policy_document.task[0].statement : s.sid => { actions = s.actions, resources = s.resources } } == {
      Cluster     = { actions = toset(["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"]), resources = toset(["arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1"]) }
      Topic       = { actions = toset(["kafka-cluster:DescribeTopic", "kafka-cluster:DescribeTopicDynamicConfiguration", "kafka-cluster:ReadData"]), resources = toset(["arn:aws:kafka:eu-central-1:123456789012:topic/main/0f0f-1/orders"]) }
      Group       = { actions = toset(["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"]), resources = toset(["arn:aws:kafka:eu-central-1:123456789012:group/main/0f0f-1/orders-to-billing"]) }
      DeadLetters = { actions = toset(["kafka-cluster:DescribeTopic", "kafka-cluster:DescribeTopicDynamicConfiguration", "kafka-cluster:WriteData"]), resources = toset(["arn:aws:kafka:eu-central-1:123456789012:topic/main/0f0f-1/orders-dead"]) }
    }
    error_message = "The task may do other things."
  }
  assert {
    condition = alltrue([for name, value in { KAFKA_OPTION_SECURITY_PROTOCOL = "sasl_ssl", KAFKA_OPTION_SASL_MECHANISM = "AWS_MSK_IAM" } :
    contains(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment, { name = name, value = value })])
    error_message = "The options for IAM are missing."
  }
}

run "msk_without_iam" {
  command = apply

  variables {
    msk = { cluster_arn = "arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1" }
  }

  assert {
    condition     = length(data.aws_iam_policy_document.task) == 0
    error_message = "The task may do something."
  }
}

run "a_function_as_sink" {
  command = apply

  variables {
    subscription = { source = "kafka://my-cluster/orders", sink = "lambda://billing:live" }
  }

  assert {
    condition     = one(data.aws_iam_policy_document.task[0].statement).resources == toset(["arn:aws:lambda:eu-central-1:123456789012:function:billing:live"])
    error_message = "The task may invoke another function, or none."
  }
}

run "roles_of_the_caller" {
  command = apply

  variables {
    task_role_arn      = "arn:aws:iam::123456789012:role/my-task"
    execution_role_arn = "arn:aws:iam::123456789012:role/my-execution"
    msk                = { cluster_arn = "arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1", iam = true }
  }

  assert {
    condition     = aws_ecs_task_definition.this.task_role_arn == "arn:aws:iam::123456789012:role/my-task" && aws_ecs_task_definition.this.execution_role_arn == "arn:aws:iam::123456789012:role/my-execution"
    error_message = "The roles are others."
  }
  assert {
    condition     = length(aws_iam_role.task) + length(aws_iam_role.execution) + length(aws_iam_role_policy.task) + length(aws_iam_role_policy.execution) == 0
    error_message = "Roles are made that nobody uses."
  }
}
