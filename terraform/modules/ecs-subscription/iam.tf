# Roles: ECS's own, the task's, and the scheduler's. Each may do what this subscription needs and nothing else.

locals {
  account = data.aws_caller_identity.current.account_id
  region  = data.aws_region.current.id
  arn     = "arn:${data.aws_partition.current.partition}"

  execution_role_arn = var.execution_role_arn != null ? var.execution_role_arn : aws_iam_role.execution[0].arn
  task_role_arn      = var.task_role_arn != null ? var.task_role_arn : aws_iam_role.task[0].arn

  references = distinct(concat(values(var.secrets), values(try(var.handler_container.secrets, {}))))
  # A policy knows a secret as a whole: what follows its name picks a field or a version of it, and would match nothing there.
  secret_arns    = distinct([for r in local.references : join(":", slice(split(":", r), 0, 7)) if strcontains(r, ":secretsmanager:")])
  parameter_arns = distinct([for r in local.references : r if strcontains(r, ":ssm:")])

  # lambda://<name, ARN or partial ARN>[:qualifier] as the ARN that an invocation is judged by.
  sink_function = startswith(var.subscription.sink, "lambda://") ? trimprefix(var.subscription.sink, "lambda://") : null
  function_arn  = local.sink_function == null ? null : startswith(local.sink_function, "arn:") ? local.sink_function : "${local.arn}:lambda:${local.region}:${local.account}:function:${local.sink_function}"

  # arn:…:cluster/name/uuid is the cluster; its topics and groups have the same tail.
  msk_topics      = local.msk_iam ? replace(var.msk.cluster_arn, ":cluster/", ":topic/") : ""
  msk_groups      = local.msk_iam ? replace(var.msk.cluster_arn, ":cluster/", ":group/") : ""
  has_task_policy = local.msk_iam || local.function_arn != null
}

data "aws_iam_policy_document" "assume" {
  for_each = toset(["ecs-tasks", "scheduler"])

  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["${each.value}.amazonaws.com"]
    }
    # Nobody else's task or schedule may take the role.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "execution" {
  count = var.execution_role_arn == null ? 1 : 0

  name                 = "${var.name}-execution"
  assume_role_policy   = data.aws_iam_policy_document.assume["ecs-tasks"].json
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
}

# Amazon ECS Developer Guide, "Amazon ECS task execution IAM role". kms:Decrypt is for keys of the customer's own alone.
data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }

  statement {
    sid       = "Image"
    actions   = ["ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
    resources = ["*"] # the first knows no resource, and the image may be in another account
  }

  dynamic "statement" {
    for_each = length(local.secret_arns) > 0 ? [local.secret_arns] : []
    content {
      sid       = "Secrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(local.parameter_arns) > 0 ? [local.parameter_arns] : []
    content {
      sid       = "Parameters"
      actions   = ["ssm:GetParameters"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(var.secrets_kms_key_arns) > 0 ? [var.secrets_kms_key_arns] : []
    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt"]
      resources = statement.value
    }
  }
}

resource "aws_iam_role_policy" "execution" {
  count = var.execution_role_arn == null ? 1 : 0

  name   = "subscription"
  role   = aws_iam_role.execution[0].name
  policy = data.aws_iam_policy_document.execution.json
}

resource "aws_iam_role" "task" {
  count = var.task_role_arn == null ? 1 : 0

  name                 = "${var.name}-task"
  assume_role_policy   = data.aws_iam_policy_document.assume["ecs-tasks"].json
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
}

# What begins with kafka-cluster: Amazon MSK Developer Guide, "Common use cases for client authorization policy" and "Semantics of IAM
# authorization policy actions and resources".
data "aws_iam_policy_document" "task" {
  count = local.has_task_policy ? 1 : 0

  dynamic "statement" {
    for_each = local.msk_iam ? [var.msk.cluster_arn] : []
    content {
      sid       = "Cluster"
      actions   = concat(["kafka-cluster:Connect"], var.dead_letter.topic == null ? [] : ["kafka-cluster:WriteDataIdempotently"])
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = local.msk_iam ? ["${local.msk_topics}/${local.topic}"] : []
    content {
      sid = "Topic"
      # Before dead letters are written, the sizes that the two topics take are compared.
      actions   = concat(["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"], var.dead_letter.topic == null ? [] : ["kafka-cluster:DescribeTopicDynamicConfiguration"])
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = local.msk_iam ? ["${local.msk_groups}/${local.group}"] : []
    content {
      sid       = "Group"
      actions   = ["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = local.msk_iam && var.dead_letter.topic != null ? ["${local.msk_topics}/${var.dead_letter.topic}"] : []
    content {
      sid       = "DeadLetters"
      actions   = ["kafka-cluster:DescribeTopic", "kafka-cluster:DescribeTopicDynamicConfiguration", "kafka-cluster:WriteData"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = local.function_arn == null ? [] : [local.function_arn]
    content {
      sid       = "Sink"
      actions   = ["lambda:InvokeFunction"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role_policy" "task" {
  count = local.has_task_policy && var.task_role_arn == null ? 1 : 0

  name   = "subscription"
  role   = aws_iam_role.task[0].name
  policy = data.aws_iam_policy_document.task[0].json
}

resource "aws_iam_role_policy_attachment" "task" {
  for_each = var.task_policy_arns

  role       = aws_iam_role.task[0].name
  policy_arn = each.value
}
