# The function's role, with which the event source mapping reads, too. It may do what this subscription needs and nothing else.

locals {
  arn      = "arn:${data.aws_partition.current.partition}"
  region   = data.aws_region.current.id
  account  = data.aws_caller_identity.current.account_id
  role_arn = var.role_arn != null ? var.role_arn : aws_iam_role.this[0].arn

  sink_function = startswith(var.subscription.sink, "lambda://") ? trimprefix(var.subscription.sink, "lambda://") : null
  function_arn  = local.sink_function == null ? null : startswith(local.sink_function, "arn:") ? local.sink_function : "${local.arn}:lambda:${local.region}:${local.account}:function:${local.sink_function}"

  cluster = coalesce(var.kafka.msk_cluster_arn, "-")
  topics  = replace(local.cluster, ":cluster/", ":topic/")
  groups  = replace(local.cluster, ":cluster/", ":group/")
  secrets = compact([var.kafka.secret_arn, var.kafka.root_ca_secret_arn])

  # Pollers reach the brokers by interfaces in the VPC, which the role makes; these calls know no resource that could be named beforehand.
  # A function in a VPC is given addresses, too. Lambda Developer Guide, "Configuring a Lambda function to access resources in a VPC".
  interfaces = local.msk || length(var.kafka.subnet_ids) > 0 || var.vpc != null

  # Lambda Developer Guide, "Configuring Lambda permissions for Amazon MSK event source mappings": kafka:ListScramSecrets is for SASL/SCRAM, and
  # what begins with kafka-cluster for IAM. The dead letters are ours: Amazon MSK Developer Guide, "Semantics of IAM authorization policy actions
  # and resources".
  statements = { for sid, s in {
    Logs = { actions = ["logs:CreateLogStream", "logs:PutLogEvents"], resources = ["${aws_cloudwatch_log_group.this.arn}:*"] }
    Interfaces = local.interfaces ? {
      actions = concat([
        "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets", "ec2:DescribeVpcs",
      ], var.vpc == null ? [] : ["ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"])
      resources = ["*"]
    } : null
    Brokers = local.msk ? {
      actions   = concat(["kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"], var.kafka.auth == "SASL_SCRAM_512_AUTH" ? ["kafka:ListScramSecrets"] : [])
      resources = [local.cluster]
    } : null
    Cluster = local.iam ? {
      actions   = concat(["kafka-cluster:Connect"], var.dead_letter.topic == null ? [] : ["kafka-cluster:WriteDataIdempotently"])
      resources = [local.cluster]
    } : null
    Topic = local.iam ? {
      actions   = concat(["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"], var.dead_letter.topic == null ? [] : ["kafka-cluster:DescribeTopicDynamicConfiguration"])
      resources = ["${local.topics}/${local.topic}"]
    } : null
    Group = local.iam ? { actions = ["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"], resources = ["${local.groups}/${var.name}"] } : null
    DeadLetters = local.iam && var.dead_letter.topic != null ? {
      actions   = ["kafka-cluster:DescribeTopic", "kafka-cluster:DescribeTopicDynamicConfiguration", "kafka-cluster:WriteData"]
      resources = ["${local.topics}/${coalesce(var.dead_letter.topic, "-")}"]
    } : null
    Secrets = length(local.secrets) > 0 ? { actions = ["secretsmanager:GetSecretValue"], resources = local.secrets } : null
    Keys    = length(var.secrets_kms_key_arns) > 0 ? { actions = ["kms:Decrypt"], resources = var.secrets_kms_key_arns } : null
    Sink    = local.function_arn == null ? null : { actions = ["lambda:InvokeFunction"], resources = [local.function_arn] }
  } : sid => s if s != null }
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  count = var.role_arn == null ? 1 : 0

  name                 = "${var.name}-function"
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
}

data "aws_iam_policy_document" "this" {
  dynamic "statement" {
    for_each = local.statements
    content {
      sid       = statement.key
      actions   = statement.value.actions
      resources = statement.value.resources
    }
  }
}

resource "aws_iam_role_policy" "this" {
  count = var.role_arn == null ? 1 : 0

  name   = "subscription"
  role   = aws_iam_role.this[0].name
  policy = data.aws_iam_policy_document.this.json
}
