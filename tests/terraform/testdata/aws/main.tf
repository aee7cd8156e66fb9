# Many subscriptions on one cluster, against a mock of AWS.

variable "endpoint" {
  type = string
}

variable "services" {
  type = any # each is the inputs of one module call
}

variable "functions" {
  type = any
}

provider "aws" {
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  max_retries                 = 4 # a connection that breaks off is tried again, as it is at AWS; the default of 25 would hide the mock's own errors for long

  endpoints {
    applicationautoscaling = var.endpoint
    cloudwatch             = var.endpoint
    ec2                    = var.endpoint
    ecs                    = var.endpoint
    iam                    = var.endpoint
    lambda                 = var.endpoint
    logs                   = var.endpoint
    scheduler              = var.endpoint
    sts                    = var.endpoint
  }
}

data "aws_subnets" "default" {}

resource "aws_ecs_cluster" "main" {
  name = "main"
}

module "service" {
  source   = "../terraform/modules/ecs-subscription"
  for_each = var.services

  name              = each.key
  subscription      = each.value.subscription
  bootstrap_servers = "broker-1.example.com:9092,broker-2.example.com:9092"
  image             = "registry.example.com/kafka-sidecar@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  cluster_arn       = aws_ecs_cluster.main.arn
  subnet_ids        = data.aws_subnets.default.ids

  alarms             = try(each.value.alarms, null)
  capacity_providers = try(each.value.capacity_providers, null)
  dead_letter        = try(each.value.dead_letter, null)
  env                = try(each.value.env, null)
  failure_limit      = try(each.value.failure_limit, null)
  handler            = try(each.value.handler, null)
  handler_container  = try(each.value.handler_container, null)
  limits             = try(each.value.limits, null)
  log_level          = try(each.value.log_level, null)
  msk                = try(each.value.msk, null)
  on_failure         = try(each.value.on_failure, null)
  ordering           = try(each.value.ordering, null)
  records            = try(each.value.records, null)
  retry              = try(each.value.retry, null)
  scaling            = try(each.value.scaling, null)
  schedule           = try(each.value.schedule, null)
  secrets            = try(each.value.secrets, null)
  shutdown_timeout   = try(each.value.shutdown_timeout, null)
  start_at           = try(each.value.start_at, null)
  tags               = { team = "orders" }
}

module "function" {
  source   = "../terraform/modules/lambda-subscription"
  for_each = var.functions

  name              = each.key
  subscription      = each.value.subscription
  bootstrap_servers = try(each.value.bootstrap_servers, null)
  kafka             = each.value.kafka
  package           = { image_uri = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/kafka-sidecar:1" }

  alarms      = try(each.value.alarms, null)
  dead_letter = try(each.value.dead_letter, null)
  handler     = try(each.value.handler, null)
  start_at    = try(each.value.start_at, null)
  tags        = { team = "orders" }
}
